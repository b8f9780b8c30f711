import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from fewer.errors import MeasureError
from fewer.measure import count


def small_llama(**keywords):
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, **keywords))


def convolutions():
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, groups=3),
        nn.ConvTranspose2d(6, 2, 2, stride=2),
        nn.Flatten(),
        nn.Linear(2 * 4 * 4, 5),
    )


def counted(model, *inputs):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (nn.Linear(7, 5), torch.ones(3, 2, 7)),
        (nn.Linear(7, 5), torch.ones(7)),
        (nn.Conv1d(3, 4, 2, dilation=2), torch.ones(2, 3, 9)),
        (nn.Conv3d(2, 4, 2), torch.ones(1, 2, 4, 4, 4)),
        (nn.ConvTranspose1d(3, 4, 3, stride=2), torch.ones(2, 3, 9)),
        (convolutions(), torch.ones(2, 4, 8, 8)),
    ],
)
def test_at_density_1_all_three_agree_with_torchs_counter(model, inputs):
    flops = count(model, inputs)
    assert flops.dense == flops.active == flops.executed == counted(model, inputs)
    assert flops.dense == sum(layer.dense for layer in flops.by_layer.values())
    masks = {name: torch.ones_like(model.get_submodule(name).weight, dtype=torch.bool) for name in flops.by_layer}
    assert count(model, inputs, masks=masks) == flops


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.floats(0, 1))
def test_a_masked_linear_layer_costs_two_flops_a_kept_weight_and_token(batch, tokens, density):
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 3))
    mask = torch.rand(6, 8) < density
    flops = count(model, torch.ones(batch, tokens, 8), masks={"0": mask})
    assert flops.by_layer["0"] == (2 * 48 * batch * tokens, 2 * int(mask.sum()) * batch * tokens, 2 * 48 * batch * tokens)
    assert flops.dense - flops.active == 2 * int((~mask).sum()) * batch * tokens


def test_a_masked_convolution_costs_two_flops_a_kept_weight_and_output_position():
    model = convolutions()
    mask = torch.rand_like(model[0].weight) < 0.3
    transposed = torch.rand_like(model[3].weight) < 0.5
    flops = count(model, torch.ones(2, 4, 8, 8), masks={"0": mask, "3": transposed})
    assert flops.by_layer["0"].active == 2 * int(mask.sum()) * 2 * 4 * 4
    assert flops.by_layer["3"].active == 2 * int(transposed.sum()) * 2 * 2 * 2


def test_a_masked_weight_is_executed_unless_its_kernel_skips():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    masks = {name: torch.eye(8, dtype=torch.bool) for name in "012"}
    flops = count(model, torch.ones(1, 8), masks=masks, kernels={"1": "csr", "2": "dense"})
    assert [flops.by_layer[name].executed for name in "012"] == [128, 16, 128]
    assert (flops.dense, flops.active, flops.executed) == (384, 48, 272)


def test_a_kernels_own_module_is_counted_by_its_shape():
    class Packed(nn.Module):
        in_features, out_features = 8, 4

        def forward(self, x):
            return torch.from_numpy(x.numpy() @ torch.ones(8, 4).numpy())

    mask = torch.zeros(4, 8, dtype=torch.bool)
    mask[0] = True
    flops = count(nn.Sequential(Packed()), torch.ones(3, 8), masks={"0": mask}, kernels={"0": "packed"})
    assert flops[:3] == (192, 48, 48)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_is_counted_whichever_way_it_runs(attention):
    ids = torch.zeros(3, 5, dtype=torch.long)
    flops = count(small_llama(attn_implementation=attention), ids)
    products = 2 * 2 * (2 * 3 * 5 * 5 * 16)  # layers, FLOPs a MAC, scores and values over all heads
    assert flops.dense == products + sum(layer.dense for layer in flops.by_layer.values())


def test_transformers_conv1d_has_its_weight_the_other_way_round():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    ids = torch.zeros(2, 4, dtype=torch.long)
    mask = torch.zeros(8, 24, dtype=torch.bool)
    mask[0] = True
    flops = count(model, ids, masks={"transformer.h.0.attn.c_attn": mask})
    assert flops.by_layer["transformer.h.0.attn.c_attn"][:2] == (2 * 192 * 8, 2 * 24 * 8)


def test_torchs_fused_encoder_layer_does_not_hide_its_products():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.ones(2, 3, 8)
    assert count(layer, x).dense == counted(layer.train(), x)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_layer_called_twice_counts_twice_and_one_never_called_does_not_count():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
            self.alias = self.used

        def forward(self, x):
            return self.used(self.alias(x))

    flops = count(Twice(), torch.ones(1, 4), masks={"alias": torch.eye(4, dtype=torch.bool)})
    assert flops.by_layer == {"used": (64, 16, 64)}


def test_keywords_reach_the_forward():
    ids = torch.zeros(1, 6, dtype=torch.long)
    assert count(small_llama(), ids, logits_to_keep=1).by_layer["lm_head"].dense == 2 * 16 * 40


class Raising(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.norm.eval()

    def forward(self, x):
        if self.norm(self.inner(x)).numel() > 8:
            raise RuntimeError("too large")


@pytest.mark.parametrize("rows", [2, 3])
def test_the_model_is_as_before_also_when_its_forward_raises(rows):
    model = Raising()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    if rows == 3:
        with pytest.raises(RuntimeError, match="too large"):
            count(model, torch.ones(rows, 4))
    else:
        count(model, torch.ones(rows, 4))
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert not nn.modules.module._global_forward_hooks and not nn.modules.module._global_forward_pre_hooks
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"masks": {"0.weight": torch.ones(3, 4)}}, "0.weight"),
        ({"kernels": {"9": "csr"}}, "'9'"),
        ({"masks": {"0": torch.ones(4, 3, dtype=torch.bool)}}, r"\(4, 3\).*\(3, 4\)"),
        ({"masks": {"1": torch.ones(3, dtype=torch.bool)}}, "LayerNorm"),
    ],
)
def test_masks_that_do_not_fit_the_model_are_an_error(arguments, says):
    with pytest.raises(MeasureError, match=says):
        count(nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)), torch.ones(1, 4), **arguments)
