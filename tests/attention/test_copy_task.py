"""The copying task: what is measured of which arm, and overlaps of made-up patterns."""

from dataclasses import replace

import pytest
import torch

from fewer.attention.anchor import Anchor
from fewer.attention.denoising import Denoising
from fewer.attention.dense import DenseAttention
from fewer.attention.diffusion.copy_task import CopyTask
from fewer.attention.diffusion.generation_task import OtherHead, overlap
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.attention.sparsed import SparseD
from fewer.attention.static import Window
from fewer.core import Density
from fewer.data.trained.diffusion_lm import MASK, diffusion_lm
from fewer.data.trained.echo_lm import EchoRecipe
from fewer.errors import MethodError, ModelError

TINY = EchoRecipe(layers=2, hidden=16, heads=2, intermediate=16, length=32, steps=25, batch=4, causal=False)


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))
    return CopyTask(recipe=TINY, text_set="python-topics", sequences=4, compared=2, steps=8)


def test_overlap_is_intersection_over_union_of_each_head():
    a = torch.tensor([[[[1, 1], [0, 0]], [[1, 0], [0, 1]]]]).bool()
    b = torch.tensor([[[[1, 0], [1, 0]], [[1, 0], [0, 1]]]]).bool()
    assert overlap(a, b) == pytest.approx((1 / 3 + 1) / 2)


def test_every_arm_is_measured_and_overlap_only_where_it_says_something(task):
    own = SparseD(block=4)
    arms = [DenseAttention(), own, own.random_twin(), Window(block=4), OtherHead(block=4), SparseD(block=4, sides="joint")]
    found = [task.measure(arm.with_seed(1), Density(0.3), 1) for arm in arms]
    assert ["overlap" in m.quality for m in found] == [False, True, True, False, True, False]
    assert all(0 <= m.quality["copied"] <= 1 for m in found)
    assert found[0].cost == {"density": 1, "dense_steps": 1, "cost_share": 1}
    densities = [m.cost["density"] for m in found[1:5]]
    assert densities[0] > 0.3 and densities == pytest.approx([densities[0]] * 4, abs=0.15)
    assert found[1].cost["dense_steps"] == 3 / 8
    assert set(found[1].detail["facts"]) == {f"overlap of layer {n}, {share} masked" for n in (0, 1) for share in (0.8, 0.5)}
    assert task.measure(own.with_seed(1), Density(0.3), 1).quality == found[1].quality


def test_all_blocks_copy_what_dense_attention_copies(task):
    dense, all_blocks = (task.measure(m, Density(1.0), 0).quality["copied"] for m in (DenseAttention(), SparseD(block=4)))
    assert dense == all_blocks


def test_other_heads_have_the_pattern_of_the_one_before():
    memory = Memory()
    Denoising(0, 4, 16).tell(memory)
    q, k = torch.randn(1, 4, 32, 8), torch.randn(1, 2, 32, 8)
    given = Inputs(q, k, k, 1.0, False)
    own, other = (m(0.3, 4).choose(given, memory).blocks for m in (SparseD, OtherHead))
    assert torch.equal(other[:, 1], own[:, 0]) and torch.equal(other[:, 0], own[:, 3])


def test_what_is_no_arm_is_refused(task):
    with pytest.raises(MethodError, match="compares SparseD"):
        task.measure(Anchor(), Density(0.3), 0)


def test_the_model_is_bidirectional_knows_its_mask_and_is_no_causal_one(task):
    model = diffusion_lm(TINY, "python-topics")
    assert model.config.mask_token_id == MASK and model.config.vocab_size == 257
    tokens = torch.arange(32)[None]
    other = tokens.clone()
    other[0, -1] = 99
    assert not torch.allclose(model(tokens).logits[0, 0], model(other).logits[0, 0])
    with pytest.raises(ModelError, match="sees both sides"):
        diffusion_lm(replace(TINY, causal=True))
