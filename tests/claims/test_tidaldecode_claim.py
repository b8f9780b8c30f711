import numpy as np
import pytest
import torch

from fewer.attention.decode_baselines import SinksAndWindow
from fewer.attention.decode_tasks import EchoDecode, SweptTidal, TextDecode, _said
from fewer.attention.dense import DenseAttention
from fewer.attention.tidal import Tidal
from fewer.claims import load
from fewer.claims.claim import Setting
from fewer.claims.tidaldecode import HALF, JUDGED, on_text
from fewer.compare.result import ArmFacts, Results, Row
from fewer.core import Density
from fewer.data.trained.echo_lm import EchoRecipe
from fewer.errors import MethodError
from fewer.weights.methods import Magnitude

CLAIM = load("tidaldecode")
SETTING = Setting(EchoDecode, JUDGED)
TINY = EchoDecode(
    recipe=EchoRecipe(layers=4, hidden=16, heads=2, intermediate=16, length=32, batch=2, steps=21, plain=0.0), pieces=2
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))


LOST = {"random": 4.0, "window": 2.5, "tidal-none": 3.0, "random-none": 4.0}


def made_up(mass=0.5, **nll):
    """Every arm at its loss, with a little noise by seed; carried keys hold `mass`, random ones .1."""
    rows = []
    for number, (name, arm) in enumerate(CLAIM.arms.items()):
        for budget in (1.0,) if arm.kind == "dense" else JUDGED:
            for seed in range(3):
                noise = 1 + 0.01 * np.random.default_rng([number, seed]).normal()
                held = (0.1 if "random" in name else mass) * noise
                quality = {"nll": (LOST | nll).get(name, 0.01) * noise} | {f"mass:{layer}": held for layer in (3, 4, 5)}
                rows.append(Row(name, budget, seed, quality, {}, {"facts": {"select": [2, 4]}}))
    facts = {name: ArmFacts(arm.kind, name) for name, arm in CLAIM.arms.items()}
    return Results("tidaldecode", "t", "", {"nll": "lower"}, facts, list(JUDGED), [0, 1, 2], rows)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        (made_up(), "confirmed"),
        (made_up(mass=0.05), "refuted"),
        (made_up(tidal=0.2), "refuted"),  # not near the oracle
        (made_up(random=0.5), "refuted"),  # random keys do as well
        (made_up(window=0.5), "refuted"),
        (made_up(**{"tidal-none": 0.001}), "refuted"),  # the second choice is not needed
    ],
)
def test_the_rule_tells_made_up_results_apart(results, verdict):
    assert CLAIM.rule(SETTING).judge(results).verdict == verdict
    assert CLAIM.beside(results)[0].startswith("the same for one set a head, as in the paper -> ")


def test_arms_are_measured_with_their_share_of_the_keys():
    dense = TINY.measure(DenseAttention(), Density(1.0), 0)
    whole = TINY.measure(Tidal(select=(1,)), Density(1.0), 0)
    assert whole.quality["nll"] == pytest.approx(dense.quality["nll"], abs=0.05)  # 16 keys of up to 31
    few = TINY.measure(Tidal(select=(1,)), Density(0.25), 0)
    assert few.detail["facts"]["keys"] == 4 and set(few.quality) == {"nll", "mass", "mass:2", "mass:3"}
    assert few.quality["mass"] > TINY.measure(Tidal(select=(1,)).random_twin(), Density(0.25), 0).quality["mass"]
    assert 0 < few.cost["read"] < whole.cost["read"] < dense.cost["read"] == 1
    swept = TINY.measure(SweptTidal(select=(1,)), Density(0.25), 0)
    assert swept.detail["facts"]["select"] in ([1, 2], [1, 3])


def test_a_method_is_configured_by_name_and_parameters():
    assert _said(DenseAttention()) == ("dense", {})
    name, parameters = _said(SweptTidal(keys=5).random_twin())
    assert name == "random:tidal" and parameters["keys"] == 5
    assert _said(SinksAndWindow(keys=9, sinks=3))[1]["sinks"] == 3


def test_other_methods_are_refused_and_all_scales_can_be_made():
    with pytest.raises(MethodError, match="is not"):
        TINY.measure(Magnitude(), Density(0.5), 0)
    assert {"smoke", "small", "paper"} == set(CLAIM.settings)
    for scale in CLAIM.settings:
        assert str(CLAIM.rule(CLAIM.setting(scale)))
    assert isinstance(CLAIM.setting("paper").task(), TextDecode)
    assert {"dense", "random", "tidal", "oracle", "window", "tidal-none"} <= set(on_text())
    assert min(JUDGED) * HALF > 4


def test_a_text_is_gone_on_with_in_stretches(monkeypatch):
    from fewer.attention import decode_tasks
    from fewer.data import models

    class Bytes:
        def __call__(self, words, return_tensors):
            return type("Ids", (), {"input_ids": torch.tensor([list(words.encode()[:200])]).remainder(64)})

    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 64}
    model = LlamaForCausalLM(LlamaConfig(**sizes)).eval()
    monkeypatch.setattr(models, "load_causal_lm", lambda name: (model, Bytes()))
    decode_tasks.read.cache_clear()
    task = TextDecode(prompt=40, tokens=10)
    dense = task.measure(DenseAttention(), Density(1.0), 1)
    assert task.measure(Tidal(select=(1,)), Density(0.2), 1).cost["keys"] == 8
    assert dense.quality["nll"] > 0
    with pytest.raises(MethodError, match="lies beyond"):
        task.measure(DenseAttention(), Density(1.0), 9)
    decode_tasks.read.cache_clear()
