"""A made-up comparison of realistic size and shape, for the tests of whatever draws one."""

import numpy as np

from fewer.compare.result import ArmFacts, Results, Row

PERPLEXITY = {
    "dense": (15, 15, 15),
    "random": (4.1e4, 9e4, 2e5),
    "magnitude": (60, 240, 1900),
    "wanda": (22, 41, 120),
    "sparsegpt": (20, 31, 74),
}
CARD = [
    {
        "name": "gap_random_uniform", "question": "Are the positions or the layer ratios doing it?", "arm": "sparsegpt",
        "value": -40_900.0, "low": -42_800.0, "high": -39_000.0, "unit": "perplexity", "kind": "computed",
        "verdict": "pass", "note": "",
    },
    {
        "name": "gap_random_uniform", "question": "Are the positions or the layer ratios doing it?", "arm": "magnitude",
        "value": -40_100.0, "low": -42_800.0, "high": -37_000.0, "unit": "perplexity", "kind": "computed",
        "verdict": "pass", "note": "",
    },
    {
        "name": "speed_measured", "question": "Unstructured or structured? Does the hardware gain?", "arm": "sparsegpt",
        "value": 0.98, "low": 0.95, "high": 1.01, "unit": "x", "kind": "computed", "verdict": "warn",
        "note": "Half of the operations are gone, none of the time.",
    },
    {
        "name": "phase", "question": "Pruning or sparse training?", "arm": "sparsegpt", "value": "after", "low": None,
        "high": None, "unit": "", "kind": "stated", "verdict": "n/a", "note": "",
    },
    {
        "name": "gap_small_dense", "question": "Sparse, or just a smaller dense net?", "arm": "sparsegpt", "value": None,
        "low": None, "high": None, "unit": "perplexity", "kind": "missing", "verdict": "n/a",
        "note": "no smaller dense network was trained",
    },
    {
        "name": "saturated", "question": "Is the sparsity real, and is the setting hard enough?", "arm": "magnitude",
        "value": True, "low": None, "high": None, "unit": "", "kind": "computed", "verdict": "fail",
        "note": "within one standard error of a small dense network",
    },
]  # fmt: skip
VERDICTS = [
    {
        "slug": "sparsegpt", "scale": "small", "claim": "Solving for the kept weights beats scoring them alone.",
        "rule": "perplexity of sparsegpt is lower than wanda's at densities 0.5, 0.4 and 0.3", "verdict": "confirmed",
        "why": ["perplexity of sparsegpt - wanda at density 0.5: -2.8", "at density 0.4: -11"],
        "effect": {"vs_dense": {"mean": 4.8, "low": 4.0, "high": 5.6}, "vs_random": {"mean": -4e4, "low": None, "high": None}},
        "effect_measure": "perplexity",
        "paper": "what a paper might say",
    },
    {
        "slug": "wanda", "scale": "small", "claim": "Activations are as good as a weight update.",
        "rule": "perplexity of wanda is within 2% of sparsegpt's", "verdict": "refuted",
        "effect": {"mean": 2.0, "low": 1.1, "high": 2.9}, "paper": None,
    },
    {
        "slug": "magnitude", "scale": "smoke", "claim": "Magnitude is enough at 50%.",
        "rule": "perplexity of magnitude is within 10% of dense's", "verdict": "inconclusive", "effect": None,
        "paper": None,
    },
]  # fmt: skip


def example(layers: int = 14, seeds: int = 3, bins: int = 40, budgets: tuple[float, ...] = (0.5, 0.4, 0.3)) -> Results:
    """Five arms; the dense one is measured once and stands for every seed."""
    rng = np.random.default_rng(0)
    rows = []
    for arm, perplexities in PERPLEXITY.items():
        for perplexity, budget in zip(perplexities, budgets, strict=False):
            for seed in range(seeds):
                spread = 0 if arm == "dense" else 0.03
                value = perplexity * (1 + spread * rng.standard_normal())
                rows.append(
                    Row(
                        arm,
                        1.0 if arm == "dense" else budget,
                        seed,
                        {"perplexity": value, "accuracy": 0.6 / (1 + np.log(value / 15)) + 0.005 * rng.standard_normal()},
                        _cost(arm, budget, rng),
                        _detail(arm, budget, seed, layers, bins, rng),
                        seconds=1.5,
                    )
                )
            if arm == "dense":
                break
    return Results(
        "made-up-perplexity",
        "A language model pruned in one shot (made-up numbers)",
        "made-up numbers in the shape of a test of 8192 tokens, calibrated on 64 windows",
        {"perplexity": "lower", "accuracy": "higher"},
        {
            "random": ArmFacts("random", "random", pattern="row"),
            "magnitude": ArmFacts("method", "magnitude", pattern="row"),
            "wanda": ArmFacts("method", "wanda", needs_data=True, pattern="row", configuration={"norm": 2}),
            "sparsegpt": ArmFacts("method", "sparsegpt", needs_data=True, configuration={"damp": 0.01, "block": 128}),
            "dense": ArmFacts("dense", "dense"),
        },
        list(budgets),
        list(range(seeds)),
        rows,
        {"model": "no model: made up", "calibration": {"windows": 64, "length": 512}, "modules": ["q", "k"]},
        {"python": "3.11.2", "torch": "2.9.0", "processor": "made up", "threads": 2},
        seconds=412.0,
    )


def _cost(arm: str, budget: float, rng: np.random.Generator) -> dict[str, float]:
    density = 1.0 if arm == "dense" else budget
    return {
        "latency_ms": 41 * (1 + 0.02 * rng.standard_normal()) * (1.0 if arm == "dense" else 0.72 + 0.5 * budget),
        "bytes_stored": 2.69e8 * (0.2 + 0.8 * density if arm == "dense" else 0.2 + 1.0 * density),
        "flops_active": 2.7e8 * (0.2 + 0.8 * density),
        "seconds_prune": {"dense": 0.0, "random": 0.4, "magnitude": 0.9, "wanda": 14.0}.get(arm, 61.0),
    }


def _detail(arm: str, budget: float, seed: int, layers: int, bins: int, rng: np.random.Generator) -> dict:
    if arm == "dense":
        return {"shared": seed > 0}
    kinds = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj")
    found = []
    for i in range(layers):
        scores = np.abs(rng.standard_normal(400))
        line = np.quantile(scores, 1 - budget)
        edges = np.linspace(0, 4, bins + 1)
        found.append(
            {
                "name": f"model.layers.{i // 5}.{kinds[i % 5]}",
                "shape": [576, 576],
                "density": float(np.clip(budget + (0.1 * np.sin(i) if arm == "sparsegpt" else 0), 0, 1)),
                "error": {"random": 0.7, "magnitude": 0.2, "wanda": 0.08}.get(arm, 0.05) * (1 + i / layers) / budget,
                "histogram": {
                    "edges": edges.tolist(),
                    "kept": np.histogram(scores[scores >= line], edges)[0].tolist(),
                    "dropped": np.histogram(scores[scores < line], edges)[0].tolist(),
                },
            }
        )
    return {"layers": found, "facts": {"nominal_density": budget}}
