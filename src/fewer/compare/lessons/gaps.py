"""Items 1, 7 and 8: what is left of a result once it stands beside the right baseline."""

from fewer.compare.lessons.item import Item, Verdict
from fewer.compare.lessons.readings import Estimate, Readings, Subject, difference, paired
from fewer.compare.lessons.write import Judge, computed, stated


def small_dense(subject: Subject) -> list[Item]:
    """Item 1. Fails when the whole interval says worse than a small dense network; passes only when it says better."""
    if subject.facts.pattern == "dense":
        return [stated(subject, 1, "gap_small_dense", "is a dense network")]

    def judge(gap: Estimate) -> tuple[Verdict, str]:
        worst, best = _gain(subject, gap)
        if best < 0:
            return "fail", "a dense network of as many weights does better"
        return ("pass", "") if worst > 0 else ("n/a", "not told apart from a dense network of as many weights")

    return [_gap(subject, 1, "gap_small_dense", "small_dense", subject.read("small_dense"), judge)]


def random_masks(subject: Subject) -> list[Item]:
    """Item 7. Warns unless the interval lies on the better side of random masks."""
    names = {"gap_random_same_ratios": "random_same_ratios", "gap_random_uniform": "random_uniform"}
    if subject.facts.pattern == "dense" or subject.facts.kind == "random":
        what = "is a dense network" if subject.facts.pattern == "dense" else "is the random baseline"
        return [stated(subject, 7, name, what) for name in names]

    def judge(gap: Estimate) -> tuple[Verdict, str]:
        worst, best = _gain(subject, gap)
        if best < 0:
            return "warn", "random masks do better"
        return ("pass", "") if worst > 0 else ("warn", "not told apart from random masks")

    twins = [arm for arm, facts in subject.results.arms.items() if facts.twin_of == subject.arm]
    same = subject.read("random_same_ratios") or (subject.of_arm(twins[0]) if twins else {})
    found = {"gap_random_same_ratios": same, "gap_random_uniform": subject.read("random_uniform")}
    return [_gap(subject, 7, name, names[name], readings, judge) for name, readings in found.items()]


def training_length(subject: Subject) -> list[Item]:
    """Item 8. Passes when both lengths are shown, whatever they show; warns when only one is."""
    epochs = paired(subject.metric(), subject.read("dense_equal_epochs"), difference)
    flops = paired(subject.read("at_equal_flops"), subject.read("dense_at_equal_flops"), difference)

    def judge(_: Estimate) -> tuple[Verdict, str]:
        return ("pass", "both lengths are shown") if epochs and flops else ("warn", "only one of the two lengths is given")

    unit = subject.measure
    return [
        computed(subject, 8, "gap_at_equal_epochs", epochs, "dense_equal_epochs", unit, judge),
        computed(subject, 8, "gap_at_equal_flops", flops, "at_equal_flops and dense_at_equal_flops", unit, judge),
    ]


def _gap(subject: Subject, number: int, name: str, needs: str, other: Readings, judge: Judge) -> Item:
    note = "" if subject.higher_is_better else "below 0 is better"
    return computed(subject, number, name, paired(subject.metric(), other, difference), needs, subject.measure, judge, note)


def _gain(subject: Subject, gap: Estimate) -> tuple[float, float]:
    """Both ends of the interval, turned so that above 0 is better; the worse one first."""
    return (gap.low, gap.high) if subject.higher_is_better else (-gap.high, -gap.low)
