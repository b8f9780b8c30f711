"""One self-contained HTML file for a comparison."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewer.compare.html.charts import charts, colours
from fewer.compare.html.markup import Markup, definitions, join, safe_json, script_json, tag
from fewer.compare.html.outcome import outcome
from fewer.compare.html.shell import filled, resource, shell
from fewer.compare.html.tables import card_table, main_tables, verdict_list
from fewer.compare.result import Results
from fewer.compare.wording import number, scale
from fewer.files import write_whole


def page(results: Results, card: Any = None, verdicts: Iterable[Any] = ()) -> str:
    """The report: outcome, tables, charts, lessons, verdicts, configuration, and the data to download.

    Args:
        card: what `fewer.compare.lessons.card` returns; None leaves the lessons out.
        verdicts: `Reproduction`s, or mappings with what their `to_dict` holds (`slug`, `claim`, `rule`, `verdict`, ...).
    """
    drawn = charts(results)
    deep = drawn["layers"] or {}
    body = filled(
        _resource("page.html"),
        tables=main_tables(results, colours(results)),
        layers=_section("layers", bool(deep.get("density") or deep.get("error"))),
        scores=_section("scores", bool(deep.get("histogram"))),
        lessons=_optional("lessons", "Ten lessons", card_table(card)),
        verdicts=_optional("verdicts", "Claims", verdict_list(verdicts)),
        configuration=definitions(results.configuration),
        arms=definitions({facts.label or arm: _about(facts) for arm, facts in results.arms.items()}),
        environment=definitions(results.environment),
        download=f"{_file_name(results.name)}.json",
    )
    return shell(
        title=results.title,
        outcome=outcome(results),
        facts=_facts(results),
        without_script="Charts need JavaScript; every figure they show is also in the tables.",
        body=body,
        data={"charts": script_json(drawn), "results": safe_json(without_histograms(results).to_json())},
        script=_resource("report.js"),
    )


def write(path: str | Path, results: Results, card: Any = None, verdicts: Iterable[Any] = ()) -> Path:
    """Write `page` to `path`, whole or not at all, making its folder where needed. Returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, page(results, card, verdicts))


def without_histograms(results: Results) -> Results:
    """The same results; the layers' histograms, which are most of their bytes, are left out."""
    rows = []
    for row in results.rows:
        seen = row.detail.get("layers")
        thin = [{k: v for k, v in layer.items() if k != "histogram"} for layer in seen] if seen else seen
        rows.append(replace(row, detail={**row.detail, "layers": thin}) if seen else row)
    return replace(results, rows=rows)


def _facts(results: Results) -> dict[str, Any]:
    took = scale("total_seconds", [results.seconds])
    model = {"Model": results.configuration["model"]} if results.configuration.get("model") else {}
    asked = len(results.seeds)
    return {
        "Comparison": results.name,
        **model,
        "Data": results.data,
        "Seeds": f"{asked} ({', '.join(map(str, results.seeds))})" + ("" if asked > 1 else "; too few for an interval"),
        "Measured": f"{len(results.rows)} cells"
        + (f" in {number(results.seconds * took.factor, decimals=1)} {took.unit}" if results.seconds else ""),
    }


def _about(facts: Any) -> dict[str, Any]:
    needs = [name for name, needed in (("data", facts.needs_data), ("pretrained weights", facts.needs_pretrained)) if needed]
    about = {"kind": facts.kind, "acts": f"{facts.phase} training", "needs": needs or "nothing"}
    about |= {name: value for name, value in (("pattern", facts.pattern), ("twin of", facts.twin_of)) if value}
    return {**about, **facts.configuration}


def _section(name: str, there: bool) -> Markup:
    return Markup(_resource(f"{name}.html")) if there else Markup()


def _optional(name: str, title: str, inside: Markup) -> Markup:
    heading = tag("h2", title, id=name)
    return tag("section", join((heading, inside)), aria_labelledby=name) if inside else Markup()


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name) or "results"


def _resource(name: str) -> str:
    return resource("fewer.compare.html", name)
