"""One masked product in all its forms as a comparison, so that the ten-lessons card judges what each form saves."""

from collections.abc import Sequence

from fewer.compare.result import ArmFacts, Results, Row
from fewer.weights.training.timing import product_times

PATTERNS = {"masked": "unstructured", "csr": "unstructured", "sliced": "neuron"}


def product_results(
    densities: Sequence[float] = (0.05, 0.5),
    seeds: Sequence[int] = (0, 1, 2),
    side: int = 1024,
    batch: int = 64,
    repeats: int = 20,
) -> Results:
    """Times a [side, side] matrix by `batch` samples at each density: arms "dense", "masked", "csr" and "sliced".

    Nothing is trained; the quality is the time itself, and a seed draws weights, mask and order of the rounds.
    """
    rows = []
    for seed in seeds:
        for density in densities:
            times = product_times(density, side, batch, repeats, seed)
            dense = 1e3 * times["dense"].median
            for form in PATTERNS:
                latency = 1e3 * times[form].median
                facts = {
                    "macs_active": float(round(density * side) * side if form == "sliced" else round(density * side * side)),
                    "macs_dense": float(side * side),
                    "latency_ms": latency,
                    "latency_ms_dense": dense,
                    "simulated": float(form == "masked"),
                }
                rows.append(Row(form, density, seed, {"latency_ms": latency}, {}, {"facts": facts}))
            if density == densities[0]:
                rows.append(Row("dense", 1.0, seed, {"latency_ms": dense}, {}))
    arms = {"dense": ArmFacts("dense", "dense", pattern="dense")}
    arms |= {form: ArmFacts("method", form, pattern=pattern) for form, pattern in PATTERNS.items()}
    return Results(
        name="masked-product",
        title=f"A {side} x {side} matrix by {batch} samples, in each of its forms",
        data="random numbers",
        quality={"latency_ms": "lower"},
        arms=arms,
        budgets=list(densities),
        seeds=list(seeds),
        rows=rows,
    )
