"""Items 3, 4 and 5: when a method acts, what it costs before it is sparse, and how much its masks move. They are not judged."""

from fewer.compare.lessons.item import Item
from fewer.compare.lessons.readings import Subject, estimate, paired, ratio
from fewer.compare.lessons.write import computed, stated


def phase(subject: Subject) -> list[Item]:
    """Item 3."""
    peak = estimate(subject.read("peak_density").values())
    note = "a dense model was needed" if peak and peak.mean == 1 else ""
    return [
        stated(subject, 3, "phase", subject.facts.phase),
        computed(subject, 3, "peak_density", peak, "peak_density", note=note),
    ]


def training_cost(subject: Subject) -> list[Item]:
    """Item 4."""
    items = []
    for name, fact in (("train_cost_ratio", "train_macs"), ("memory_ratio", "memory_peak")):
        dense = subject.read(f"{fact}_dense") or subject.dense(fact)
        found = paired(subject.read(fact), dense, ratio)
        items.append(computed(subject, 4, name, found, f"{fact} and {fact}_dense", "of dense"))
    return items


def movement(subject: Subject) -> list[Item]:
    """Item 5."""
    return [computed(subject, 5, name, estimate(subject.read(name).values()), name) for name in ("r_itop", "churn")]
