import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
"""The checkout."""


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def own_registry(monkeypatch) -> None:
    """Methods that a page or an example registers are forgotten afterwards."""
    from fewer.comparing import methods
    from fewer.core import registry

    methods()
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))


@pytest.fixture
def one_thread():
    """Networks as small as these lose by being shared out over threads."""
    from fewer.core.one_thread import one_thread

    with one_thread():
        yield


@pytest.fixture
def short_digits(monkeypatch) -> None:
    """The digits task with shorter training: what is tested here is the text, not the task."""
    from fewer.weights.tasks import pretrained_digits

    monkeypatch.setattr(pretrained_digits, "PretrainedDigits", partial(pretrained_digits.PretrainedDigits, epochs=3, width=64))


@pytest.fixture
def tiny_models(monkeypatch) -> None:
    """Networks of the same kinds, made on the spot, in place of the models that pages load."""
    from fewer.data import models

    monkeypatch.setattr(models, "load_causal_lm", lambda name: (_llama(), ByteTokenizer()))
    monkeypatch.setattr(models, "load_masked_lm", lambda name: (_bert("BertForMaskedLM"), ByteTokenizer()))
    monkeypatch.setattr(
        models, "load_sentence_encoder", lambda name: SimpleNamespace(model=_bert("BertModel"), tokenizer=ByteTokenizer())
    )


class ByteTokenizer:
    """A token is a byte."""

    def __call__(self, text, return_tensors="pt", **_):
        import torch
        from transformers import BatchEncoding

        ids = torch.tensor([list(text.encode())])
        return BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        Path(folder, "tokenizer.json").write_text("{}", encoding="utf-8")


def _llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 256, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, max_position_embeddings=512)).eval()


def _bert(name):
    import transformers

    sizes = {"vocab_size": 256, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return getattr(transformers, name)(transformers.BertConfig(**sizes)).eval()
