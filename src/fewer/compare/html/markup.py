"""HTML from plain values: everything is escaped unless it is Markup already."""

import html
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any


class Markup(str):
    """Text that is HTML already."""


def text(value: Any) -> Markup:
    """`value` escaped, or as it is when it is Markup."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def tag(name: str, *inside: Any, **attributes: Any) -> Markup:
    """An element. A trailing underscore of an attribute is dropped (`class_`), others become hyphens; None leaves it out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(inside)}</{name}>")


def join(parts: Iterable[Any]) -> Markup:
    """The parts one after another, each escaped as `text` does."""
    return Markup("".join(text(part) for part in parts))


def script_json(value: Any) -> Markup:
    """JSON that can stand inside a script element: no value can close it, and NaN or infinity is null."""
    return safe_json(json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False))


def safe_json(written: str) -> Markup:
    """JSON text whose <, > and & are escaped as JSON escapes them, so that it still reads the same."""
    for sign in "<>&\u2028\u2029":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(written)


def definitions(values: Mapping[str, Any]) -> Markup:
    """A definition list; mappings inside become lists inside, sequences are joined by commas."""
    return tag("dl", *(join((tag("dt", name), tag("dd", _definition(value)))) for name, value in values.items()))


def _definition(value: Any) -> Any:
    if isinstance(value, Mapping):
        return definitions(value) if value else "none"
    if isinstance(value, list | tuple):
        plain = not any(isinstance(v, Mapping) for v in value)
        return ", ".join(map(str, value)) if plain else tag("ul", *(tag("li", _definition(v)) for v in value))
    return "none" if value is None or value == "" else value


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
