"""Item 2: which pattern, and what the hardware makes of it."""

import re

from fewer.compare.lessons.item import QUESTIONS, Item, Verdict
from fewer.compare.lessons.readings import Estimate, Subject, estimate, paired, ratio
from fewer.compare.lessons.write import computed, missing, stated
from fewer.core.detect import BLOCKS, GROUPS

WORTH = 1.5
"""Speed-up in theory from which a missing one in practice is worth a warning."""


def pattern(subject: Subject) -> list[Item]:
    """The stated pattern, held against what the detector finds in the masks; a contradiction is a conflict."""
    layers = sorted({pair for row in subject.rows() for pair in (row.detail.get("detected") or {}).items()})
    kinds = ", ".join(sorted({found for _, found in layers}))
    said = subject.facts.pattern
    if not said:
        if not layers:
            return [missing(subject, 2, "pattern", "a stated pattern or detected ones")]
        return [Item(2, QUESTIONS[2], "pattern", subject.arm, subject.budget, kinds, note="detected, not stated")]
    broken = sorted({layer for layer, found in layers if not holds(said, found)})
    if broken:
        some = ", ".join(broken[:3]) + (" ..." if len(broken) > 3 else "")
        return [stated(subject, 2, "pattern", said, "warn", f"conflict: {said} is stated, {kinds} is detected ({some})")]
    return [stated(subject, 2, "pattern", said, note=f"detected: {kinds}" if layers else "not checked by the detector")]


def speed(subject: Subject) -> list[Item]:
    """Speed-up in theory and as measured; warns when theory promises much and the clock shows none."""
    theory = paired(subject.read("macs_dense") or subject.dense("macs_active"), subject.read("macs_active"), ratio)
    measured = paired(subject.read("latency_ms_dense") or subject.dense("latency_ms"), subject.read("latency_ms"), ratio)
    simulation = estimate(subject.read("simulated").values())
    simulated = simulation is not None and simulation.mean > 0

    def judge(found: Estimate) -> tuple[Verdict, str]:
        if theory is None:
            return "n/a", "no theory to hold it against"
        if theory.mean > WORTH and (simulated or found.mean < 1):
            return "warn", f"{theory.mean:.3g} times fewer multiply-adds, and no time is saved"
        return "pass", ""

    note = "simulated: no speed-up" if simulated else ""
    return [
        computed(subject, 2, "speed_theory", theory, "macs_active and macs_dense", "x"),
        computed(subject, 2, "speed_measured", measured, "latency_ms and latency_ms_dense", "x", judge, note),
    ]


def holds(said: str, found: str) -> bool:
    """May a mask that is said to be `said` be detected as `found`? Yes too where the detector cannot tell."""
    if found == "dense" and said != "dense":
        return True  # a layer that was left alone
    if said == "dense":
        return found == "dense"
    if group := re.fullmatch(r"(\d+):(\d+)", said):
        n, m = int(group[1]), int(group[2])
        if (n, m) not in GROUPS:
            return True
        finer = re.fullmatch(r"(\d+):(\d+)", found)
        return finer is not None and m % int(finer[2]) == 0 and int(finer[1]) * (m // int(finer[2])) <= n
    if tile := re.fullmatch(r"block:(\d+)x(\d+)(:row)?", said):
        side = int(tile[1])
        if side != int(tile[2]) or side not in BLOCKS:
            return True
        if larger := re.fullmatch(r"block:(\d+)x\d+", found):
            return int(larger[1]) % side == 0
        # Tiles far enough apart are N:M too, and the detector looks for that first.
        return found == "neuron" or (":" in found and side <= int(found.split(":")[0]))
    if said in ("neuron", "channel") or re.fullmatch(r"head:\d+(:0)?", said):
        return found == "neuron"
    return True
