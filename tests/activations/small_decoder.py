"""A tiny Llama with random weights, and its tokens."""

import torch


def decoder(**changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **heads, "tie_word_embeddings": True, **changes})).eval()


def tokens(sequences: int = 4, length: int = 24, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 50, (sequences, length), generator=torch.Generator().manual_seed(seed))
