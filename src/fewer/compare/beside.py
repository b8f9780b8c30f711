"""What stands beside a rule: findings that a reader should see, and that never move its verdict."""

from collections.abc import Iterable
from dataclasses import dataclass

from fewer.compare.result import Results
from fewer.compare.rules import MINIMUM_SEEDS, Judgement, Rule, Verdict

HEAD = "beside the rule:"
"""Behind this line nothing decides."""


def beside(judged: Judgement, findings: Iterable[str]) -> Judgement:
    """`judged` with `findings` behind its numbers, a line each."""
    lines = judged.text.split("\n")
    return judged._replace(text="\n".join([*lines, *([] if HEAD in lines else [HEAD]), *findings]))


@dataclass(frozen=True)
class Alone:
    """A sentence of its own, with a rule that judges it alone."""

    says: str
    rule: Rule
    strict: bool = False
    """Refuted wherever it is not shown; with too few seeds to show anything it stays open all the same."""

    def findings(self, results: Results) -> list[str]:
        """The sentence and its verdict, then each part with its numbers."""
        judged = self.rule.judge(results)
        verdict: Verdict = judged.verdict
        if self.strict and verdict == "inconclusive" and judged.effect.n >= MINIMUM_SEEDS:
            verdict = "refuted"
        return [f"{self.says} -> {verdict}", *(f"  {line}" for line in judged.text.split("\n"))]

    def __str__(self) -> str:
        return f"{self.says}, that is {self.rule}{' (refuted where it is not shown)' if self.strict else ''}"


@dataclass(frozen=True)
class Beside(Rule):
    """`rule` decides; the sentences beside it are fixed with it, and decide nothing."""

    rule: Rule
    alone: tuple[Alone, ...]

    def judge(self, results: Results) -> Judgement:
        return beside(self.rule.judge(results), (line for one in self.alone for line in one.findings(results)))

    def __str__(self) -> str:
        return f"{self.rule}. Beside it: {'; '.join(map(str, self.alone))}"
