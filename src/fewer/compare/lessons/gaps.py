"""Items 1, 7 and 8: what is left of a result once it stands beside the right baseline."""

from fewer.compare.lessons.item import Item, Verdict
from fewer.compare.lessons.readings import Estimate, Readings, Subject, difference, paired
from fewer.compare.lessons.write import Judge, computed, stated

SAME = 0.005  # densities of layers whose counts were rounded


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

    found = {
        "gap_random_same_ratios": subject.read("random_same_ratios") or _random_arm(subject, same=True),
        "gap_random_uniform": subject.read("random_uniform") or _random_arm(subject, same=False),
    }
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


def _random_arm(subject: Subject, same: bool) -> Readings:
    """The arm's own twin, or a plain random arm of its pattern: with the same density in every layer, or one for all layers."""
    arms = subject.results.arms.items()
    twins = [arm for arm, facts in arms if facts.twin_of == subject.arm and same]
    plain = [
        arm
        for arm, facts in arms
        if facts.kind == "random" and not facts.twin_of and facts.pattern == subject.facts.pattern
        if _alike(subject.ratios(arm), subject.ratios(subject.arm) if same else None)
    ]
    chosen = [*twins, *plain]
    return subject.of_arm(chosen[0]) if chosen else {}


def _alike(ratios: dict[str, float], others: dict[str, float] | None) -> bool:
    """Are layer densities the same as the others, or (None) as each other? To within the rounding of whole counts."""
    if not ratios:
        return False
    beside = dict.fromkeys(ratios, next(iter(ratios.values()))) if others is None else others
    return ratios.keys() == beside.keys() and all(abs(ratio - beside[name]) < SAME for name, ratio in ratios.items())


def _gap(subject: Subject, number: int, name: str, needs: str, other: Readings, judge: Judge) -> Item:
    note = "" if subject.higher_is_better else "below 0 is better"
    return computed(subject, number, name, paired(subject.metric(), other, difference), needs, subject.measure, judge, note)


def _gain(subject: Subject, gap: Estimate) -> tuple[float, float]:
    """Both ends of the interval, turned so that above 0 is better; the worse one first."""
    return (gap.low, gap.high) if subject.higher_is_better else (-gap.high, -gap.low)
