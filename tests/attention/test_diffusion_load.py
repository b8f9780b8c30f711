"""Checkpoints that bring their own code: loaded from a folder, only when that code is trusted."""

import json

import pytest
import torch

from fewer.attention.diffusion import LLaDA, attach, load
from fewer.attention.diffusion.dream import Dream
from fewer.attention.sparsed import SparseD
from fewer.errors import ModelError

CODE = """
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput


class TinyConfig(PretrainedConfig):
    model_type = "KIND"

    def __init__(self, width=16, vocab_size=32, **others):
        super().__init__(**others)
        self.width, self.vocab_size = width, vocab_size


class Block(nn.Module):
    def __init__(self, config, number):
        super().__init__()
        self.layer_id, self.proj = number, nn.Linear(config.width, 3 * config.width)

    def forward(self, x):
        q, k, v = (y.unflatten(-1, (4, -1)).transpose(1, 2) for y in self.proj(x).chunk(3, -1))
        return x + F.scaled_dot_product_attention(q, k, v, is_causal=False).transpose(1, 2).flatten(2)


class TinyModel(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config, number) for number in range(2))
        self.head = nn.Linear(config.width, config.vocab_size)
        self.post_init()

    def forward(self, input_ids, use_cache=False):
        x = self.embedding(input_ids)
        for block in self.blocks:
            x = block(x)
        return CausalLMOutput(logits=self.head(x))
"""


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A folder as a hub would deliver it, of the model type that is asked for."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    def made(kind, mask_token=31):
        folder = tmp_path / f"{kind}-tiny"
        folder.mkdir()
        (folder / "modeling_tiny.py").write_text(CODE.replace("KIND", kind), encoding="utf-8")
        maps = {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModel": "modeling_tiny.TinyModel"}
        config = {"model_type": kind, "auto_map": maps, "mask_token_id": mask_token}
        (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")
        names: dict = {"__name__": "made"}
        exec(CODE.replace("KIND", kind), names)
        torch.manual_seed(0)
        from safetensors.torch import save_file

        save_file(names["TinyModel"](names["TinyConfig"]()).state_dict(), folder / "model.safetensors", {"format": "pt"})
        words = Tokenizer(models.WordLevel({str(n): n for n in range(32)}, unk_token="0"))
        PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
        return folder

    return made


@pytest.mark.parametrize(("kind", "sampler"), [("llada", LLaDA), ("Dream", Dream)])
def test_a_trusted_checkpoint_loads_with_its_sampler_and_takes_sparse_attention(checkpoint, kind, sampler):
    loaded = load(checkpoint(kind), trust_remote_code=True, dtype=torch.float32)
    assert isinstance(loaded.sampler, sampler) and not loaded.model.training
    assert loaded.tokenizer.convert_tokens_to_ids("7") == 7
    prompt = torch.tensor([[1, 2, 3, 4]])
    with attach(loaded.model, SparseD(block=8, select=0.2)) as attached:
        out = loaded.sampler(loaded.model, prompt)
    assert out.shape == (1, 132) and (out != 31).all()
    assert len(attached.memory) == 2


def test_code_is_not_run_unasked_and_other_kinds_are_refused(checkpoint):
    folder = checkpoint("llada")
    (folder / "modeling_tiny.py").write_text("raise SystemExit", encoding="utf-8")
    with pytest.raises(ModelError, match="trust_remote_code=True"):
        load(folder)
    with pytest.raises(ModelError, match=r"known: llada, Dream"):
        load(checkpoint("another"), trust_remote_code=True)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder / "nothing", trust_remote_code=True)


def test_the_mask_token_of_the_family_stands_in_where_the_config_has_none(checkpoint):
    assert load(checkpoint("llada", mask_token=None), trust_remote_code=True).model.config.mask_token_id == 126336
