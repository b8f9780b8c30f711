"""What pages share: one HTML file that works offline, with style, theme switch, chart library and the data for its scripts."""

from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

from fewer.compare.html.markup import Markup, definitions, text


def shell(
    *,
    title: str,
    outcome: str,
    facts: Mapping[str, Any],
    without_script: str,
    body: Markup,
    data: Mapping[str, Markup],
    script: str,
) -> str:
    """A whole page. It needs no other file and asks the network for nothing; most of its 5 MB is the chart library.

    Args:
        outcome: what was found, in a sentence or two.
        without_script: what a reader is told whose browser runs no scripts.
        data: id -> JSON, as `script_json` writes it.
        script: draws the charts; it finds what `shell.js` returns under the name `shell`.
    """
    from plotly.offline import get_plotlyjs

    shown = {"title": title, "outcome": outcome, "facts": definitions(facts), "without_script": without_script, "body": body}
    raw = {
        "style": resource("fewer.compare.html", "style.css"),
        "data": "\n".join(f'<script type="application/json" id="{name}">{written}</script>' for name, written in data.items()),
        "plotly": get_plotlyjs(),
        "script": resource("fewer.compare.html", "shell.js") + script,
    }
    whole = Template(resource("fewer.compare.html", "shell.html"))
    return whole.substitute({name: text(value) for name, value in shown.items()} | raw)


def filled(template: str, **parts: Any) -> Markup:
    """HTML whose `$names` stand for `parts`, escaped unless they are HTML already."""
    return Markup(Template(template).substitute({name: text(value) for name, value in parts.items()}))


def resource(package: str, name: str) -> str:
    """A text file that lies beside a package's modules."""
    return (files(package) / name).read_text(encoding="utf-8")
