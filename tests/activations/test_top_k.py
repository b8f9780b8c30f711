import copy

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fewer.activations import TopKMLP, find_sites, measure, top_k
from fewer.activations.lazy.sparse_hidden import Hidden
from fewer.core import Count, Density, method, stream
from fewer.errors import BudgetError, ModelError
from fewer.weights.training.methods import SET
from fewer.weights.training.problem import Problem, Recipe
from fewer.weights.training.updates import Updates

GATED = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def llama():
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**GATED)).eval()


def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3))


@given(k=st.integers(0, 9), seed=st.integers(0, 99))
def test_the_k_largest_stay_as_they_are_and_all_else_is_zero(k, seed):
    h = torch.randn(2, 3, 9, generator=stream(seed))
    kept = TopKMLP().keep(Hidden(h, ""), Count(k))
    order = h.abs().argsort(-1, descending=True)
    expected = torch.zeros_like(h).scatter(-1, order[..., :k], h.gather(-1, order[..., :k]))
    assert torch.equal(kept, expected)


def test_gradients_flow_through_what_is_kept_alone():
    h = torch.tensor([[3.0, 1.0, 2.0, 4.0]], requires_grad=True)
    TopKMLP().keep(Hidden(h, ""), Count(2)).sum().backward()
    assert h.grad.tolist() == [[1, 0, 0, 1]]


@given(k=st.integers(0, 9), seed=st.integers(0, 99))
def test_the_random_twin_keeps_as_many(k, seed):
    h = torch.randn(5, 9, generator=stream(seed))
    twin = TopKMLP(seed=seed).random_twin()
    assert twin.kind == "random"
    kept = twin.keep(Hidden(h, "layer"), Count(k))
    assert ((kept != 0).sum(-1) == k).all()


def test_the_random_twin_draws_anew_in_training_and_the_same_in_evaluation():
    model, x = perceptron(), torch.ones(3, 4)
    layers = top_k(model, 4, TopKMLP().random_twin(), example=x)
    model[0].bias.data.fill_(5)  # all units fire
    sparse = layers.modules["2"]
    hidden = model[0](x)
    first, second = (sparse(hidden) != 0 for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    first, second = (sparse(hidden) != 0 for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first[:2], sparse(hidden[:2]) != 0)  # a token's do not depend on how many come after it
    assert (first.sum(-1) == 4).all()


def test_fewer_than_k_positive_units_are_all_that_is_counted():
    model = perceptron()
    model[0].weight.data.zero_()
    model[0].bias.data = torch.tensor([1.0, 2.0, *[-1.0] * 10])
    top_k(model, 5, example=torch.ones(1, 4))
    assert measure(model, torch.ones(3, 4)).density == pytest.approx(2 / 12)


@pytest.mark.parametrize("rank", ["gate", "product"])
@pytest.mark.parametrize("activation", ["relu", "own"])
def test_a_gated_mlp_keeps_k_of_what_is_ranked(rank, activation):
    model, tokens = llama(), torch.randint(32, (2, 6), generator=stream(0))
    mlp = model.model.layers[0].mlp
    x = torch.randn(7, 16, generator=stream(1))
    act = torch.relu if activation == "relu" else nn.functional.silu
    gate, up = act(mlp.gate_proj(x)), mlp.up_proj(x)
    ranked = gate if rank == "gate" else gate * up
    kept = torch.zeros_like(ranked).scatter(-1, ranked.abs().topk(5).indices, 1.0)
    expected = mlp.down_proj(gate * kept * up)
    top_k(model, 5, TopKMLP(rank=rank, activation=activation))
    assert torch.allclose(mlp(x), expected, atol=1e-6)
    assert measure(model, tokens).highest <= 5 / 24 + 1e-9


@pytest.mark.parametrize("rank", ["gate", "product"])
def test_all_units_of_its_own_activation_are_the_dense_model(rank):
    model, tokens = llama(), torch.randint(32, (2, 6), generator=stream(0))
    before = model(tokens).logits
    names = list(model.state_dict())
    top_k(model, 1.0, TopKMLP(rank=rank, activation="own"))
    assert torch.equal(model(tokens).logits, before)
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("rank", ["gate", "product"])
def test_removed_the_model_is_what_it_was(rank):
    model, tokens = llama(), torch.randint(32, (2, 6), generator=stream(0))
    before, printed = model(tokens).logits, str(model)
    layers = top_k(model, 2, TopKMLP(rank=rank))
    assert not torch.allclose(model(tokens).logits, before)
    layers.remove()
    assert torch.equal(model(tokens).logits, before)
    assert str(model) == printed


def test_copies_of_a_model_are_sparse_on_their_own():
    model, tokens = llama(), torch.randint(32, (2, 6), generator=stream(0))
    layers = top_k(model, 3)
    other = copy.deepcopy(model)
    layers.remove()
    assert measure(other, tokens).highest == pytest.approx(3 / 24)
    assert measure(model, tokens).highest > 0.9


def test_it_trains_from_the_first_step():
    model = perceptron()
    x = torch.randn(64, 4, generator=stream(0))
    y = (x[:, 0] > 0).long()
    top_k(model, Density(0.25), example=x)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert measure(model, x).density <= 0.25


def test_weights_and_units_are_sparse_at_once_in_the_training_of_fewer():
    x = torch.randn(256, 8, generator=stream(0))

    def build(width):
        model = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 2))
        top_k(model, 0.25, example=x[:1])
        return model

    problem = Problem(x, (x[:, 0] > 0).long(), build, 32, Recipe(epochs=20))
    trained = SET(updates=Updates(every=10)).train(problem, 0.5)
    assert sum(int(mask.sum()) for mask in trained.masks.values()) == 160
    assert measure(trained.model, x).density <= 0.25
    assert (trained.model.eval()(x).argmax(1) == problem.labels).double().mean() > 0.9


def test_layers_are_chosen_by_name():
    model = llama()
    layers = top_k(model, 2, include="*.1.mlp.down_proj")
    assert list(layers.modules) == ["model.layers.1.mlp.down_proj"]
    with pytest.raises(ModelError, match=r"those that are found: model\.layers\.0"):
        top_k(llama(), 2, include="*.fc2")


def test_more_units_than_there_are_and_shared_activations_are_refused():
    with pytest.raises(BudgetError, match="reads 24 units, of which 25"):
        top_k(llama(), 25)
    act = nn.ReLU()
    shared = nn.Sequential(nn.Linear(4, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 2))
    assert len(find_sites(shared, torch.ones(1, 4))) == 2
    with pytest.raises(ModelError, match="several MLPs"):
        top_k(shared, 2, example=torch.ones(1, 4))


def test_it_is_known_by_name():
    assert method("topk-mlp", rank="gate") == TopKMLP(rank="gate")
