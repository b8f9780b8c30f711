"""A Llama of a few thousand weights whose attention looks far back."""

import torch


def small_llama(layers=5, positions=256, **settings):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=96,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=None,
        **settings,
    )
    return LlamaForCausalLM(config).eval()


def some_tokens(batch=2, count=40, seed=0):
    return torch.randint(1, 64, (batch, count), generator=torch.Generator().manual_seed(seed))
