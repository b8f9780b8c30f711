"""What the card is made of: items under ten questions."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["computed", "stated", "missing"]
Verdict = Literal["pass", "warn", "fail", "n/a"]

QUESTIONS = {
    1: "Sparse, or just a smaller dense net?",
    2: "Unstructured or structured? Does the hardware gain?",
    3: "Pruning or sparse training?",
    4: "Dense-to-sparse or sparse-to-sparse?",
    5: "Static or dynamic?",
    6: "Before, during or after training: what may it be compared with?",
    7: "Are the positions or the layer ratios doing it?",
    8: "Is it given the training length it needs?",
    9: "Is accuracy the only thing that moved?",
    10: "Is the sparsity real, and is the setting hard enough?",
}


@dataclass(frozen=True)
class Item:
    """One answer, for one arm at one budget."""

    number: int
    """Of the question, 1 to 10."""
    question: str
    name: str
    """Of the quantity; a question may have several."""
    arm: str
    budget: float
    value: float | str | bool | None
    """Mean over seeds of a number; None where it is missing or not finite."""
    low: float | None = None
    """Lower end of its 95% interval; None where there is none."""
    high: float | None = None
    """Upper end."""
    unit: str = ""
    kind: Kind = "computed"
    verdict: Verdict = "n/a"
    note: str = ""


@dataclass(frozen=True)
class Card:
    """The items of a comparison, by arm, budget and question."""

    items: tuple[Item, ...]

    def of(self, arm: str, budget: float | None = None, name: str | None = None) -> tuple[Item, ...]:
        """Items of `arm`, at one budget and of one name where given."""
        return tuple(i for i in self.items if i.arm == arm and budget in (None, i.budget) and name in (None, i.name))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"items": [asdict(item) for item in self.items]}
