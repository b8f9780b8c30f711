"""The needle task, with a tiny stand-in for the checkpoint."""

import pytest
import torch

from fewer.attention.dense import DenseAttention
from fewer.attention.diffusion import LLaDA
from fewer.attention.diffusion import needle_task as module
from fewer.attention.diffusion.generation_task import OtherHead
from fewer.attention.diffusion.load import Loaded
from fewer.attention.diffusion.needle_task import NeedleTask
from fewer.attention.sparsed import SparseD
from fewer.claims import load as claim
from fewer.core import Density
from fewer.data.trained.echo_lm import MASK, EchoRecipe, network
from fewer.errors import ModelError


class Bytes:
    """A token is a byte."""

    def __call__(self, said, return_tensors):
        return {"input_ids": torch.tensor([list(said.encode())])}

    def decode(self, tokens):
        return bytes(token % 256 for token in tokens).decode(errors="replace")


@pytest.fixture
def task(monkeypatch):
    model = network(EchoRecipe(layers=2, hidden=16, heads=2, intermediate=16, length=512, causal=False)).eval()
    model.config.mask_token_id = MASK
    loaded = Loaded(model, Bytes(), LLaDA(steps=4, length=8, block=8))
    monkeypatch.setattr(module, "_loaded", lambda *_: loaded)
    return NeedleTask(tokens=40, questions=2, steps=4, length=8, compared=1)


def test_the_number_is_in_the_text_and_another_one_in_the_next(task):
    first, second = (task.question(n, 0) for n in range(2))
    assert task.number(0, 0) in first and task.number(1, 0) in second and task.number(0, 0) != task.number(1, 0)
    assert first.endswith("Answer with the number.") and task.question(0, 0) == first != task.question(0, 1)


def test_an_answer_is_right_that_holds_the_number(task):
    for said, right in ((f"it is {task.number(1, 0)}.", 1.0), ("it is 12.", 0.0)):
        assert task.right(torch.tensor([list(said.encode())]), 1, 0) == [right]


def test_arms_are_measured_question_by_question(task):
    for arm, compared in ((DenseAttention(), False), (SparseD(block=16), True), (OtherHead(block=16), True)):
        found = task.measure(arm, Density(0.3), 0)
        assert 0 <= found.quality["copied"] <= 1 and ("overlap" in found.quality) == compared
    assert "LLaDA-1.5" in task.data


def test_at_paper_scale_code_runs_only_where_its_checkpoint_is_named(monkeypatch):
    setting = claim("sparsed").settings["paper"]
    monkeypatch.delenv("FEWER_TRUST_REMOTE_CODE", raising=False)
    assert not setting.task().trust_remote_code
    with pytest.raises(ModelError, match="trust_remote_code=True"):
        setting.task().subject()
    monkeypatch.setenv("FEWER_TRUST_REMOTE_CODE", "GSAI-ML/LLaDA-1.5")
    assert setting.task().trust_remote_code
    assert {arm.block for arm in setting.arms.values() if isinstance(arm, SparseD)} == {128}
