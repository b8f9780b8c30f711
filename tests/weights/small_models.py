"""Tiny models with random weights, one of each kind that has to be walked."""

import torch
from torch import nn


def tokens(sequences: int = 5, length: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 50, (sequences, length), generator=torch.Generator().manual_seed(seed))


def llama(**changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **heads, "tie_word_embeddings": True, **changes})).eval()


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32)).eval()


def bert():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return BertModel(BertConfig(**sizes, max_position_embeddings=32)).eval()


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 3)).eval()


class Residual(nn.Module):
    """Two convolutions of different geometry read one tensor, one after the other; then a ReLU in place."""

    def __init__(self):
        super().__init__()
        self.skip = nn.Conv2d(4, 6, 1, stride=2)
        self.main = nn.Conv2d(4, 6, 3, stride=2, padding=1, padding_mode="reflect")
        self.relu = nn.ReLU(inplace=True)
        self.out = nn.Conv2d(6, 5, (3, 1), dilation=2, padding="same")

    def forward(self, x):
        return self.out(self.relu(self.skip(x) + self.main(x)))


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Residual(), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 3))


def cnn_1d() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(3, 4, 3, stride=2, padding=1, padding_mode="circular"), nn.ReLU(), nn.Conv1d(4, 5, 2, dilation=2)
    )


class Outside(nn.Module):
    """Two like blocks, one layer before and one after them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.before, self.after = nn.Linear(8, 8), nn.Linear(8, 4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)) for _ in range(2))

    def forward(self, x):
        x = self.before(x)
        for block in self.blocks:
            x = x + block(x)
        return self.after(x)


class Shared(nn.Module):
    """Each of two blocks runs twice, as in ALBERT."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(2))

    def forward(self, x):
        for block in (self.blocks[0], self.blocks[0], self.blocks[1], self.blocks[1]):
            x = x + block(x)
        return x


def floats(*shape: int, batches: int = 3, seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(batches, *shape, generator=torch.Generator().manual_seed(seed)))


KINDS = {
    "llama": (llama, lambda: list(tokens().split(1))),
    "llama-untied": (lambda: llama(tie_word_embeddings=False), lambda: list(tokens().split(2))),
    "gpt2": (gpt2, lambda: list(tokens().split(1))),
    "bert": (bert, lambda: [{"input_ids": t, "attention_mask": torch.ones_like(t)} for t in tokens().split(1)]),
    "mlp": (mlp, lambda: floats(4, 12)),
    "cnn": (cnn, lambda: floats(2, 3, 8, 8)),
    "cnn-1d": (cnn_1d, lambda: floats(2, 3, 12)),
    "outside": (Outside, lambda: floats(2, 5, 8)),
    "shared": (Shared, lambda: floats(2, 5, 8)),
    "one layer": (lambda: mlp()[0], lambda: floats(4, 12)),
}
"""name -> (model, batches)"""
