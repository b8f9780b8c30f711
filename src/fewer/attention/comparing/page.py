"""A comparison as one HTML file that works offline: table, heat maps by layer and head, and maps of kept cells."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewer.attention.comparing.kept import Compared, Kept
from fewer.attention.comparing.maps import Map
from fewer.attention.comparing.table import HEADINGS, by_stage, cells
from fewer.attention.decode_baselines import OracleKeys
from fewer.attention.method import Stage
from fewer.compare.html.markup import Markup, definitions, script_json, tag
from fewer.compare.html.shell import filled, resource, shell
from fewer.compare.wording import percent
from fewer.files import write_whole


def page(compared: Compared, model: str, source: str) -> str:
    """The page.

    Args:
        model, source: what the model and the text are called.
    """
    parameters = definitions({row.name: row.method.configuration() for row in compared.rows})
    return shell(
        title=f"Sparse attention in {model}",
        outcome=outcome(compared),
        facts=_facts(compared, model, source),
        without_script="Charts need JavaScript; the means are in the table.",
        body=filled(_resource("page.html"), table=_table(compared), parameters=parameters),
        data={"data": script_json(_data(compared))},
        script=_resource("page.js"),
    )


def write(path: str | Path, compared: Compared, model: str, source: str) -> Path:
    """Write `page` to `path`, whole or not at all, making its folder where needed. Returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, page(compared, model, source))


def outcome(compared: Compared) -> str:
    """Which method stands farthest from chance, in prompts and in decoding: it loses least of what its random twin loses."""
    said = []
    for stage, rows in by_stage(compared).items():
        lost = {row.name: (_lost(row.own), _lost(row.twin)) for row in rows if not isinstance(row.method, OracleKeys)}
        lost = {name: (own, twin) for name, (own, twin) in lost.items() if twin > 0}
        if lost:
            name, (own, twin) = min(lost.items(), key=lambda one: one[1][0] / one[1][1])
            cells = next(percent(float(row.own.density.mean())) for row in rows if row.name == name)
            said.append(
                f"In {stage}, {name} stands farthest from chance: in {cells} of the cells it loses {percent(own)} of the "
                f"weight, where its random twin loses {percent(twin)}."
            )
    return " ".join(said) or "No method leaves anything out here: the text is too short for their settings."


def _lost(kept: Kept) -> float:
    return max(0.0, 1 - float(kept.recall.mean()))


def _facts(compared: Compared, model: str, source: str) -> dict[str, Any]:
    looked = "all queries" if compared.every == 1 else f"32 of every {32 * compared.every} queries"
    return {
        "Model": f"{model}: {len(compared.layers)} layers of {compared.heads} heads",
        "Text": f"{source}, {compared.tokens:,} tokens",
        "Prompts": f"{looked} were looked at; densities are of all",
        "Decoding": f"the last {compared.steps} tokens, one by one",
    }


def _table(compared: Compared) -> Markup:
    """The table of the terminal."""
    head = tag("tr", *(tag("th", heading, scope="col") for heading in ("Method", *HEADINGS)))
    bodies = (
        tag("tbody", tag("tr", tag("th", f"In {stage}", scope="rowgroup", colspan=len(HEADINGS) + 1)), *lines)
        for stage, lines in (
            (stage, [_line(row.name, cells(compared, row)) for row in rows]) for stage, rows in by_stage(compared).items()
        )
    )
    inside = tag("table", tag("thead", head), *bodies, class_="figures")
    return tag("div", inside, class_="scroll", role="region", aria_label="Figures", tabindex="0")


def _line(name: str, figures: list[str]) -> Markup:
    return tag("tr", tag("th", name, scope="row"), *(tag("td", figure) for figure in figures))


def _data(compared: Compared) -> dict[str, Any]:
    return {
        "layers": list(compared.layers),
        "heads": compared.heads,
        "tokens": compared.tokens,
        "steps": compared.steps,
        "methods": [
            {
                "name": row.name,
                "stage": row.method.stage,
                "density": float(row.own.density.mean()),
                "recall": {"own": _plain(row.own.recall, 3), "random": _plain(row.twin.recall, 3)},
                "error": {"own": _plain(row.own.error, 3), "random": _plain(row.twin.error, 3)},
            }
            for row in compared.rows
            if row.method.kind == "method"
        ],
        "maps": [_map(one) for one in compared.maps],
    }


def _map(one: Map) -> dict[str, Any]:
    mass: dict[Stage, Tensor] = {stage: grid.clamp_min(1e-5).log10() for stage, grid in one.mass.items()}
    return {
        "layer": one.layer,
        "head": one.head,
        "mass": {stage: _plain(grid, 2) for stage, grid in mass.items()},
        "kept": {name: _plain(grid, 2) for name, grid in one.kept.items()},
    }


def _plain(values: Tensor, decimals: int) -> Any:
    return torch.round(values.double(), decimals=decimals).tolist()


def _resource(name: str) -> str:
    return resource("fewer.attention.comparing", name)
