import pytest
import torch
from small_models import bert, cnn, cnn_1d, gpt2, llama, mlp
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from fewer.core import Selection
from fewer.errors import ModelError, PatternError
from fewer.weights.layers import Layer, check_finite, find_layers
from fewer.weights.masks import hold


def test_linear_and_convolution_layers_are_found_in_order():
    assert list(find_layers(mlp())) == ["0", "2", "5"]
    assert list(find_layers(cnn())) == ["0", "1.skip", "1.main", "1.out", "4"]
    assert list(find_layers(cnn_1d())) == ["0", "2"]
    assert len(find_layers(gpt2())) == 2 * 4
    assert len(find_layers(bert())) == 2 * 6 + 1
    assert len(find_layers(llama())) == 3 * 7


@pytest.mark.parametrize("tied", [True, False])
def test_the_output_head_and_embeddings_stay_out_unless_asked_for(tied):
    model = llama(tie_word_embeddings=tied)
    assert not {"lm_head", "model.embed_tokens"} & set(find_layers(model))
    assert "lm_head" in find_layers(model, include=["*", "lm_head"])
    assert "model.embed_tokens" in find_layers(model, embeddings=True) and "lm_head" not in find_layers(model, embeddings=True)


def test_a_weight_that_two_modules_share_is_one_layer():
    both = find_layers(llama(), include=["model.embed_tokens", "lm_head"], embeddings=True)
    assert list(both) == ["model.embed_tokens"]


def test_names_are_chosen_by_shell_patterns():
    model = llama()
    assert all("down_proj" in n for n in find_layers(model, include=["*.down_proj"]))
    assert len(find_layers(model, exclude=["*.down_proj", "model.layers.0.*"])) == 2 * 6


def test_one_pattern_may_be_given_as_text():
    model = mlp()
    assert list(find_layers(model, include="2")) == ["2"]
    assert list(find_layers(model, exclude="2")) == ["0", "5"]
    assert len(find_layers(llama(), exclude="*.down_proj")) == 3 * 6


@pytest.mark.parametrize(
    ("model", "chosen", "says"),
    [
        (mlp(), {"include": ["x"]}, r"include=\['x'\].*it has 0, 2, 5"),
        (mlp(), {"exclude": ["*"]}, "no prunable layer is left in Sequential"),
        (nn.ReLU(), {}, "it has no linear or convolution layer"),
        (nn.Embedding(3, 3), {}, "it has no linear or convolution layer"),
        (nn.Linear(3, 3).to(torch.float32).apply(lambda m: setattr(m, "weight", None)), {}, "no linear"),
    ],
)
def test_no_layer_left_is_an_error_that_lists_what_there_was(model, chosen, says):
    with pytest.raises(ModelError, match=says):
        find_layers(model, **chosen)


def test_a_weight_that_is_computed_is_refused_since_writing_to_it_would_be_lost():
    held = hold(mlp(), {"2": Selection(torch.ones(16, 20).bool())})
    normed = nn.Sequential(weight_norm(nn.Linear(4, 4)))
    for model, name in ((held, "2"), (normed, "0")):
        with pytest.raises(ModelError, match=f'{name} computes its weight.*exclude="{name}"'):
            find_layers(model)
    assert list(find_layers(held, exclude="2")) == ["0", "5"]


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(6, 4),
        nn.Linear(6, 4).bfloat16(),
        nn.Conv2d(3, 4, 2),
        nn.Conv1d(3, 4, 5),
        gpt2().transformer.h[0].mlp.c_fc,
        nn.Embedding(4, 6),
    ],
)
def test_a_matrix_is_read_and_written_whatever_the_module_stores(module):
    layer = Layer("x", module)
    matrix = layer.matrix().clone()
    assert matrix.shape == layer.shape and matrix.dtype == torch.float32
    layer.write(matrix * 2)
    assert torch.equal(layer.matrix(), matrix * 2)
    mask = matrix > 0
    assert torch.equal(layer.as_stored(mask), module.weight > 0)


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (nn.Linear(6, 4), torch.randn(2, 5, 6)),
        (gpt2().transformer.h[0].mlp.c_fc, torch.randn(2, 3, 16)),
        (nn.Conv1d(3, 4, 3, stride=2, padding=1, dilation=2), torch.randn(2, 3, 11)),
        (nn.Conv1d(3, 4, 3, padding=2, padding_mode="circular"), torch.randn(2, 3, 11)),
        (nn.Conv1d(3, 4, 3, padding=1, padding_mode="reflect"), torch.randn(2, 3, 11)),
        (nn.Conv1d(3, 4, 4, padding="same"), torch.randn(2, 3, 11)),
        (nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(2, 1)), torch.randn(2, 3, 6, 7)),
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate", dilation=2), torch.randn(2, 3, 6, 7)),
        (nn.Conv2d(3, 4, (2, 3), padding="same"), torch.randn(2, 3, 6, 7)),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding")
def test_the_matrix_times_the_rows_is_what_the_module_computes(module, x):
    layer = Layer("x", module)
    out = layer.rows(x) @ layer.matrix().t() + module.bias
    expected = module(x) if x.ndim == 3 and not isinstance(module, nn.Conv1d) else module(x).movedim(1, -1)
    torch.testing.assert_close(out, expected.reshape(out.shape), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("module", [nn.Conv2d(4, 4, 3, groups=2), nn.Conv1d(4, 4, 3, groups=4), nn.Embedding(4, 4)])
def test_a_layer_whose_matrix_multiplies_no_rows_says_so(module):
    with pytest.raises(PatternError, match=r'c1 is an? (convolution in|embedding).*method="magnitude", or exclude="c1"'):
        Layer("c1", module).rows(torch.zeros(1, 4, 5))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_counted_and_named(bad):
    model = mlp()
    model[2].weight.data[1, :3] = bad
    with pytest.raises(ModelError, match="2 has 3 weights that are NaN or infinite; nothing was changed"):
        check_finite(find_layers(model).values())


def test_large_finite_weights_pass():
    layer = nn.Linear(4, 4).double()
    layer.weight.data.fill_(1e300)
    check_finite([Layer("x", layer)])
