"""Report-card items and verdicts as plain mappings, whatever they came as, so that drawing them needs no other module."""

from collections.abc import Iterable, Mapping
from typing import Any

ITEM = ("number", "question", "arm", "budget", "name", "value", "low", "high", "unit", "kind", "verdict", "note")
VERDICT = ("slug", "scale", "claim", "rule", "verdict", "why", "effect", "effect_measure", "paper")


def items(card: Any) -> list[dict[str, Any]]:
    """The items of a card by question, those that say the same of several budgets or arms as one.

    Args:
        card: an object or mapping with `items`, or the items themselves. None has none.

    Returns:
        One dict an item, holding every name of ITEM; what it does not say is None. `arm` lists the arms ("wanda, dsnot"),
        or is "all" where the item holds of all that the card names, if more than one; so does `budget` ("0.5, 0.4").
    """
    if card is None:
        return []
    found = card["items"] if isinstance(card, Mapping) else getattr(card, "items", card)
    records = [_record(item, ITEM) for item in found]
    names = list(dict.fromkeys(item["name"] for item in records))
    records.sort(key=lambda item: (item["number"] or 0, names.index(item["name"])))
    for item in records:
        item["arm"] = str(item["arm"] or "")
        item["budget"] = "" if item["budget"] is None else f"{item['budget']:g}"
    for name in ("budget", "arm"):
        every = list(dict.fromkeys(item[name] for item in records))
        records = _merged(records, name)
        for item in records:
            if len(every) > 1 and item[name] == ", ".join(every):
                item[name] = "all"
    return records


def verdicts(found: Iterable[Any]) -> list[dict[str, Any]]:
    """One dict a verdict (a mapping, or an object with `to_dict`), holding every name of VERDICT; the unsaid is None."""
    plain = (verdict.to_dict() if hasattr(verdict, "to_dict") else verdict for verdict in found)
    return [_record(verdict, VERDICT) for verdict in plain]


def _merged(records: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Records that differ in `name` alone as one, its values joined by commas, at the place of the first."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        alike.setdefault(repr({**record, name: None}), []).append(record)
    return [{**same[0], name: ", ".join(one[name] for one in same)} for same in alike.values()]


def _record(source: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(source, Mapping):
        return {name: source.get(name) for name in names}
    return {name: getattr(source, name, None) for name in names}
