import pytest
import torch

from fewer.activations import measure
from fewer.activations.lazy.networks import WIDTH, build, logits
from fewer.activations.lazy.task import LazyNeurons
from fewer.claims import load
from fewer.claims.claim import reproduce
from fewer.compare.result import ArmFacts, Results, Row
from fewer.core import Density

CLAIM = load("lazy-neuron")
SMALL = CLAIM.setting("small")
ARMS = CLAIM.setting("digits").arms
"""Those of the small scale, and the perceptron's."""
WOBBLE = (-0.003, 0.002, 0.001)
AFTER = {"dense": 0.4, "random-labels": 0.25, "random-inputs": 0.4, "narrow": 0.42, "wide": 0.35, "bytes": 0.35}


def made_up(after=AFTER, accuracy=0.0, noisy=0.05, stopped=0.05, ece=0.0, random=-0.2, without=0.2):
    """Top-k ahead of dense by so much on true labels, under label noise, at the best epoch, and in calibration."""
    rows = []
    for seed, wobble in enumerate(WOBBLE):
        for name, arm in ARMS.items():
            for budget in (1.0,) if arm.kind == "dense" else SMALL.budgets:
                ours = name.endswith("topk")
                lead = {
                    "accuracy": 0.95
                    - without * (name == "no-hidden")
                    + (accuracy if ours else random if arm.kind == "random" else 0)
                }
                lead |= {"accuracy_noisy": 0.7 + noisy * ours, "accuracy_noisy_stopped": 0.8 + stopped * ours}
                lead |= {"accuracy_stopped": 0.95, "ece": 0.02, "ece_noisy": 0.1 - ece * ours, "robust": 0.8}
                density = 0.5 if name.endswith("start") else after.get(name, 0.3)
                quality = {"density": density, "highest_density": density} | lead
                quality = {measure: value + wobble * (1 + ours) for measure, value in quality.items()}
                detail = {"trace": [{"at": at, "train": [0.5, 0.4], "test": [0.5, 0.4]} for at in (0, 60)]}
                rows.append(Row(name, budget, seed, quality, {}, detail | {"facts": {"dead_units": 0.0, "units": 512.0}}))
    arms = {name: ArmFacts(arm.kind, name) for name, arm in ARMS.items()}
    return Results("l", "l", "", dict(LazyNeurons().quality), arms, list(SMALL.budgets), [0, 1, 2], rows)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        (made_up(), "confirmed"),
        (made_up(noisy=-0.05, stopped=-0.05, ece=0.05), "confirmed"),
        (made_up(after=AFTER | {"random-inputs": 0.55}), "refuted"),
        (made_up(after=AFTER | {"wide": 0.5}), "refuted"),
        (made_up(accuracy=-0.05), "refuted"),
        (made_up(random=0.0), "refuted"),
        (made_up(stopped=-0.05, ece=-0.05), "refuted"),
        (made_up(after=AFTER | {"dense": 0.45}), "inconclusive"),
    ],
)
def test_the_rule_confirms_refutes_and_stays_open(results, verdict):
    assert CLAIM.rule(SMALL).judge(results).verdict == verdict


def test_both_halves_and_the_counter_example_are_said_beside_the_rule():
    text = "\n".join(CLAIM.beside(made_up(stopped=-0.05, ece=-0.05)))
    assert "emergence alone -> confirmed" in text
    assert "top-k alone -> refuted" in text
    assert "density by layer, mlp-dense: 0.50/0.40 (test 0.50/0.40) at 0" in text


def test_the_small_scale_is_the_digits_with_a_task_for_the_mlps_and_without_the_perceptron():
    assert set(CLAIM.arms) == {name for name in ARMS if not name.startswith("mlp-")}
    assert {CLAIM.arms[name].network for name in CLAIM.arms} == {"vit-2x2", "bytes"}


@pytest.mark.parametrize(("without", "verdict"), [(0.2, "confirmed"), (0.0, "refuted")])
def test_the_control_says_whether_the_task_needs_hidden_units(without, verdict):
    assert CLAIM.beside(made_up(without=without))[0] == f"the task needs its hidden units -> {verdict}"


def test_smoke_runs_through(tmp_path):
    found = reproduce(CLAIM, "smoke", seeds=1, folder=tmp_path).to_dict()
    assert {"dense", "random", "topk", "dropout", "bytes"} < {row["arm"] for row in found["rows"]}
    assert found["verdict"] == "inconclusive"  # one seed shows nothing


def test_the_paper_scale_builds_the_published_network_and_takes_a_step():
    setting = CLAIM.setting("paper")
    assert (setting.task().images, setting.task().side) == ("cifar10", 224)
    assert setting.budgets == (128 / 3072,)
    model = build("vit-b16", (3, 224, 224), 10, WIDTH["vit-b16"], seed=0)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(86e6, rel=0.01)
    x = torch.rand(1, 3, 224, 224)
    setting.arms["topk"].prepare(model, Density(setting.budgets[0]), x)
    logits(model, x).sum().backward()
    kept = [layer.hidden for layer in measure(model, x).layers]
    assert {(layer.units, layer.tokens) for layer in kept} == {(3072, 197)}
    assert max(layer.density for layer in kept) <= 128 / 3072
