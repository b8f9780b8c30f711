"""Sparse inputs in a model: exact where they must be, equal on every path, undone without a trace, and refused when wrong."""

import copy

import pytest
import torch
from small_decoder import decoder, tokens
from torch import nn

from fewer.activations import cats, measure_inputs, r_sparse, restore, sparsify, teal
from fewer.activations.linear import SparseLinear
from fewer.activations.methods import RSparse
from fewer.activations.report import on_all_tokens
from fewer.errors import BudgetError, CalibrationError, MethodError, ModelError
from fewer.kernels.dispatch import cpu_path


@pytest.fixture(params=["reference", "portable", "avx512"])
def path(request, monkeypatch):
    from fewer.kernels.dispatch import has_avx512

    if request.param == "avx512" and not has_avx512():
        pytest.skip("no AVX-512")
    monkeypatch.setenv("FEWER_KERNELS", request.param)
    cpu_path.cache_clear()
    yield request.param
    cpu_path.cache_clear()


def logits(model, ids, **more):
    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False, **more).logits


def one_layer(bias=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 24, bias=bias)), [torch.randn(300, 40)]


def by_hand(layer, x, d, rho):
    """The paper's formula, written out: threshold over all entries, complement through the truncated decomposition."""
    weight = layer.weight.detach().double()
    scores = x.double().abs() * weight.norm(dim=0)
    out, width = weight.shape
    rank = int((1 - rho) * d * out * width / (out + width))
    inputs = d - rank * (out + width) / (out * width)
    threshold = scores.flatten().quantile(1 - inputs)
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    kept = scores > threshold
    y = (x * kept).double() @ weight.t() + (x * ~kept).double() @ ((u[:, :rank] * s[:rank]) @ v[:rank]).t()
    return y + (0 if layer.bias is None else layer.bias.detach().double()), rank, inputs


@pytest.mark.parametrize("rho", [1.0, 0.8])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_computes_the_papers_formula(rho, bias):
    model, data = one_layer(bias)
    expected, rank, inputs = by_hand(model[0], data[0], 0.5, rho)
    r_sparse(model, 0.5, data, rho=rho)
    assert model.input_sparsity.layers[0].rank == rank
    with torch.inference_mode(), on_all_tokens(model):
        made = model(data[0])
    close = (made - expected).abs().amax(1) < 1e-4  # the histogram's threshold may decide a score beside it otherwise
    assert float(close.float().mean()) > 0.9
    assert measure_inputs(model, data).inputs["0"] == pytest.approx(inputs, abs=0.002)


@pytest.mark.parametrize("rho", [1.0, 0.7])
def test_one_row_through_the_kernel_equals_many_rows_in_torch(path, rho):
    model, data = one_layer()
    r_sparse(model, 0.6, data, rho=rho)
    x = data[0][:20]
    with torch.inference_mode():
        single = torch.cat([model(row[None]) for row in x])
        with on_all_tokens(model):
            assert torch.allclose(single, model(x), atol=1e-5)
        assert torch.allclose(model(x), nn.functional.linear(x, model[0].weight, model[0].bias), atol=1e-6)  # dense prompts


def test_without_sparsity_a_model_is_dense_and_so_is_full_rank_with_any_mask():
    model, ids = decoder(), tokens()
    dense = logits(model, ids)
    r_sparse(model, 0.0, ids, rho=1.0)
    with on_all_tokens(model):
        assert torch.allclose(logits(model, ids), dense, atol=1e-5)
    calls = [[layer.site, layer.site.low_rank.factors(min(layer.site.shape))] for layer in sparse_layers(model)]
    for site, factors in calls:
        site.thresholds, site.low = torch.full_like(site.norms, 0.3), factors
    with on_all_tokens(model):
        assert torch.allclose(logits(model, ids), dense, atol=1e-4)


def sparse_layers(model):
    return [module for module in model.modules() if isinstance(module, SparseLinear)]


@pytest.mark.parametrize("settings", [{}, {"rho": 1.0}, {"rho": 1.0, "together": True}, {"together": True, "rho": 0.8}])
def test_decoding_token_by_token_equals_all_tokens_sparse(path, settings):
    model, ids = decoder(), tokens(1, 12)
    r_sparse(model, 0.5, tokens(), **settings)
    with on_all_tokens(model):
        whole = logits(model, ids)
    from transformers import DynamicCache

    cache, said = DynamicCache(), []
    with torch.inference_mode():
        for at in range(ids.shape[1]):
            said.append(model(ids[:, at : at + 1], cache=cache, use_cache=True).logits)
    assert torch.allclose(torch.cat(said, 1), whole, atol=2e-4)


def test_layers_of_one_input_are_multiplied_in_one_go_and_by_one_test_where_thresholds_agree():
    model = teal(decoder(), 0.5, tokens())
    q, k, v = (getattr(model.model.layers[0].self_attn, f"{n}_proj") for n in "qkv")
    assert q.group is k.group is v.group and len(q.group.parts) == 1
    assert len(r_sparse(model, 0.5, tokens()).model.layers[0].self_attn.q_proj.group.parts) == 3
    assert len(model.input_sparsity.sites) == 14
    r_sparse(model, 0.5, tokens(), together=True)
    assert len(model.input_sparsity.sites) == 8
    assert "q_proj + k_proj + v_proj" in str(model.input_sparsity)


def test_the_first_share_of_a_prompt_is_dense():
    model, data = one_layer()
    x = torch.randn(2, 10, 40)
    dense = model(x).detach()
    teal(model, 0.5, data, dense_prompt=0.75)
    with torch.inference_mode():
        made = model(x)
        with on_all_tokens(model):
            sparse = model(x)
    assert torch.allclose(made[:, :8], dense[:, :8], atol=1e-6)
    assert torch.allclose(made[:, 8:], sparse[:, 8:], atol=1e-6) and not torch.allclose(made[:, 8:], dense[:, 8:], atol=1e-3)


@pytest.mark.parametrize("method", ["r-sparse", "teal", "cats", "magnitude-channels", "random:r-sparse", "all-inputs"])
def test_a_model_is_put_back_as_it_was(method):
    model, ids = decoder(), tokens()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = [id(p) for p in model.parameters()]
    sparsify(model, method, 0.5, ids)
    assert {n: torch.equal(v, before[n]) for n, v in model.state_dict().items() if n in before} == dict.fromkeys(before, True)
    restore(model)
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert [id(p) for p in model.parameters()] == parameters and all(p.is_contiguous() for p in model.parameters())
    assert not sparse_layers(model) and not hasattr(model, "input_sparsity")


def test_weights_are_kept_once_and_extra_memory_is_said():
    model = r_sparse(decoder(), 0.5, tokens(), rho=0.9)
    layer = model.model.layers[0].mlp.down_proj
    assert layer.weight.data_ptr() == layer.group.parts[0].values.data_ptr()
    weights = sum(layer.weight.nbytes for layer in sparse_layers(model))
    kept = sum(part.nbytes for group in model.input_sparsity.groups for part in group.parts)
    assert model.input_sparsity.extra_bytes == kept - weights > 0


def test_a_copy_decodes_alike_and_stands_on_its_own():
    model, ids = teal(decoder(), 0.5, tokens()), tokens(1, 1)
    first = logits(model, ids)
    other = copy.deepcopy(model)
    assert torch.equal(logits(other, ids), first)
    with torch.no_grad():
        restore(model).model.layers[0].mlp.down_proj.weight.zero_()
    assert torch.equal(logits(other, ids), first)


def test_the_output_head_stays_dense_and_patterns_choose_layers():
    model = teal(decoder(tie_word_embeddings=False), 0.5, tokens(), exclude="*.mlp.*")
    assert type(model.lm_head) is nn.Linear and len(sparse_layers(model)) == 8
    assert model.input_sparsity.touched > 0.5


def test_sparsity_and_rho_may_differ_by_layer():
    model = r_sparse(decoder(), {"*.down_proj": 0.75, "*": 0.25}, tokens(), rho={"*.q_proj": 0.5, "*": 1.0})
    found = {layer.names[0].rpartition(".")[2]: layer for layer in model.input_sparsity.layers}
    assert found["down_proj"].density == 0.25 and found["up_proj"].density == 0.75
    assert found["q_proj"].inputs < 0.5 and found["q_proj"].rank > 0 == found["k_proj"].rank


def test_cats_drops_neurons_by_their_gate():
    model, ids = decoder(), tokens()
    mlp, seen = model.model.layers[0].mlp, []
    cats(model, 0.7, ids)
    handle = mlp.down_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with on_all_tokens(model):
        logits(model, ids)
    handle.remove()
    assert float((seen[0] == 0).float().mean()) == pytest.approx(0.7, abs=0.02)
    mlp_share = 3 * 32 * 56 / (3 * 32 * 56 + 2 * 32 * 32 + 2 * 16 * 32)
    assert model.input_sparsity.touched == pytest.approx(1 - mlp_share * 2 / 3 * 0.7, abs=1e-6)
    with pytest.raises(ModelError, match="no gated MLP"):
        cats(nn.Sequential(nn.Linear(4, 4)), 0.5, [torch.randn(3, 4)])


def test_gradients_flow_through_the_kept_inputs():
    model, data = one_layer()
    teal(model, 0.5, data)
    x = torch.randn(1, 40, requires_grad=True)
    model(x).sum().backward()
    assert model[0].weight.grad is not None
    assert 0 < int((x.grad == 0).sum()) < 40


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_are_sparse_too(dtype):
    model, ids = decoder().to(dtype), tokens(1, 1)
    teal(model, 0.5, tokens())
    one = logits(model, ids)
    with on_all_tokens(model):
        many = logits(model, ids.repeat(1, 2))[:, :1]
    assert one.dtype == dtype and torch.allclose(one.float(), many.float(), atol=0.05)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, "half"])
def test_sparsity_outside_its_range_is_refused(sparsity):
    with pytest.raises(BudgetError, match=r"sparsity must lie in \[0, 1\)"):
        r_sparse(decoder(), sparsity, tokens())


def test_what_cannot_be_made_sparse_is_refused_and_nothing_is_changed():
    model = decoder()
    with pytest.raises(ModelError, match="holds no linear layer"):
        teal(nn.Sequential(nn.Conv2d(1, 1, 1)), 0.5, [torch.randn(1, 1, 2, 2)])
    with pytest.raises(CalibrationError, match="empty"):
        teal(model, 0.5)
    with pytest.raises(CalibrationError, match="empty"):
        teal(model, 0.5, tokens()[:0])
    bad = one_layer()[1][0]
    bad[3, 5] = torch.nan
    with pytest.raises(CalibrationError, match="NaN"):
        teal(one_layer()[0], 0.5, [bad])
    with pytest.raises(MethodError, match="no rho"):
        sparsify(model, "teal", 0.5, tokens(), rho=0.9)
    with pytest.raises(BudgetError, match=r"no sparsity is given for model\.layers\.0\.self_attn\.q_proj"):
        teal(model, {"*.mlp.*": 0.5}, tokens())
    with pytest.raises(BudgetError, match="rho must lie"):
        r_sparse(model, 0.5, tokens(), rho=2.0)
    with pytest.raises(ModelError, match="has no sparse inputs"):
        measure_inputs(model, tokens())
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] = torch.inf
    with pytest.raises(ModelError, match=r"layers.1.mlp.up_proj has weights that are NaN or infinite"):
        teal(model, 0.5, tokens())
    assert not sparse_layers(model)


def test_nan_that_the_model_makes_itself_in_calibration_is_refused():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.second(self.first(x) / 0)

    with pytest.raises(CalibrationError, match="inputs of second are NaN"):
        teal(Broken(), 0.5, [torch.zeros(2, 4)])


def test_a_layer_that_no_data_reach_is_named():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(CalibrationError, match="spare"):
        teal(Unused(), 0.5, [torch.randn(2, 4)])


@pytest.mark.parametrize("change", ["weights", "type"])
def test_a_model_that_was_changed_afterwards_says_so(change):
    model = teal(decoder(), 0.5, tokens())
    if change == "weights":
        with torch.no_grad():
            model.model.layers[1].mlp.up_proj.weight.mul_(2)
    else:
        model.bfloat16()
    with pytest.raises(ModelError, match="was changed, converted or moved after its inputs were calibrated"):
        logits(model, tokens(1, 1))


def test_norms_are_those_of_the_columns():
    model = sparsify(decoder(), RSparse(), 0.5, tokens())
    for layer in sparse_layers(model):
        assert torch.allclose(layer.site.norms, layer.weight.norm(dim=0))
