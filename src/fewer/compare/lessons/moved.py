"""Item 9: calibration, likelihood, robustness and the worst class, each as sparse minus dense."""

from fewer.compare.lessons.item import Item, Verdict
from fewer.compare.lessons.readings import Estimate, Subject, difference, paired
from fewer.compare.lessons.write import computed

RISE = 0.02
"""Rise of the calibration error from which it is worth a warning."""


def beside_accuracy(subject: Subject) -> list[Item]:
    """Judges the calibration error alone. On a few hundred test samples it is noisy: see its interval."""

    def judge(found: Estimate) -> tuple[Verdict, str]:
        return ("warn", f"the calibration error rises by more than {RISE}") if found.mean > RISE else ("pass", "")

    named = {"ece": "ece", "nll": "nll", "robust": "robust", "worst_group": "worst_class"}
    units = {"nll": "nats", "robust": "accuracy", "worst_group": "accuracy"}
    return [
        computed(
            subject, 9, name, paired(subject.read(fact), subject.dense(fact), difference),
            f"{fact} of the arm and the dense arm", units.get(name, ""), judge if name == "ece" else None, "minus dense",
        )
        for name, fact in named.items()
    ]  # fmt: skip
