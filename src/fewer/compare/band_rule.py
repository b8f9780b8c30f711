"""A rule with a band: one line confirms, another one, further out, refutes, and between them nothing is decided."""

from dataclasses import dataclass, replace

from fewer.compare.result import Results
from fewer.compare.rules import Below, Judgement, Rule
from fewer.errors import MethodError


@dataclass(frozen=True)
class Band(Rule):
    """`part` confirms at its margin, and is refuted only beyond `refuted`: for claims that name both lines."""

    part: Below
    refuted: float
    """In the units of the part's margin, and not below it."""

    def __post_init__(self) -> None:
        if self.refuted < self.part.margin:
            raise MethodError(f"a band refutes beyond where it confirms, {self.part.margin:g}; given: {self.refuted:g}.")

    def judge(self, results: Results) -> Judgement:
        near, far = self.part.judge(results), replace(self.part, margin=self.refuted).judge(results)
        if near.verdict == "refuted" and far.verdict != "refuted":
            measured = near.text.rsplit(" -> ", 1)[0]
            return Judgement("inconclusive", near.effect, f"{measured}, not wholly beyond {self.refuted:g} -> inconclusive")
        return near

    def __str__(self) -> str:
        return f"{self.part} (refuted beyond {self.refuted:g})"
