import json

import pytest
import torch
import transformers
from torch import nn

from fewer.activations import find_sites, measure
from fewer.activations.lazy.activity import Tally
from fewer.errors import MeasureError, ModelError

SIZES = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
NO_ENDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def t5(kind):
    sizes = {"vocab_size": 32, "d_model": 16, "d_ff": 24, "d_kv": 8, "num_layers": 1, "num_heads": 2}
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, feed_forward_proj=kind))


def gpt2():
    sizes = {"vocab_size": 32, "n_embd": 16, "n_inner": 24, "n_layer": 2, "n_head": 2, "n_positions": 16}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **NO_ENDS))


def opt():
    sizes = {"vocab_size": 32, "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return transformers.OPTForCausalLM(transformers.OPTConfig(**sizes, **NO_ENDS, word_embed_proj_dim=16))


def vit():
    sizes = {name: size for name, size in SIZES.items() if name != "vocab_size"}
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(**sizes, image_size=8, patch_size=2, num_channels=1, hidden_act="relu")
    )


def llama(**sizes):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES | sizes, **NO_ENDS)).eval()


def bert(kind):
    return getattr(transformers, kind)(transformers.BertConfig(**SIZES))


def phi3():
    return transformers.Phi3ForCausalLM(transformers.Phi3Config(**SIZES, **NO_ENDS))


FOUND = {
    "llama": (llama, "model.layers.{}.mlp.down_proj", True),
    "llama as wide as its input": (lambda: llama(intermediate_size=16), "model.layers.{}.mlp.down_proj", True),
    "phi3": (phi3, "model.layers.{}.mlp.down_proj", True),
    "bert": (lambda: bert("BertForMaskedLM"), "bert.encoder.layer.{}.output.dense", False),
    "bert's classifier": (lambda: bert("BertForSequenceClassification"), "bert.encoder.layer.{}.output.dense", False),
    "gpt2": (gpt2, "transformer.h.{}.mlp.c_proj", False),
    "opt": (opt, "model.decoder.layers.{}.fc2", False),
    "vit": (vit, "vit.layers.{}.mlp.fc2", False),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_layers_that_read_hidden_units_are_found(name):
    build, reader, gated = FOUND[name]
    sites = find_sites(build())
    assert [site.reader_name for site in sites] == [reader.format(layer) for layer in range(2)]
    assert {site.gated for site in sites} == {gated}
    assert {site.units for site in sites} == {16 if "wide" in name else 24}


@pytest.mark.parametrize(("kind", "gated"), [("relu", False), ("gated-gelu", True)])
def test_encoders_and_decoders_have_both_their_mlps_found(kind, gated):
    sites = find_sites(t5(kind))
    assert [site.reader_name.partition(".")[0] for site in sites] == ["encoder", "decoder"]
    assert [site.gated for site in sites] == [gated, gated]


def test_a_plain_network_is_read_with_an_example():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 2), nn.Tanh())
    assert [(site.name, site.reader_name, site.units) for site in find_sites(model, torch.ones(1, 4))] == [
        ("1", "3", 6),
        ("4", "5", 5),
    ]
    assert model.training
    with pytest.raises(ModelError, match="give an example"):
        find_sites(model)
    with pytest.raises(ModelError, match="no MLP"):
        find_sites(nn.Linear(4, 6), torch.ones(1, 4))


def identity(units):
    """A network whose hidden units are the positive part of its inputs."""
    model = nn.Sequential(nn.Linear(units, units, bias=False), nn.ReLU(), nn.Linear(units, 2))
    model[0].weight.data = torch.eye(units)
    return model


def test_density_frequency_and_dead_units_are_those_counted_by_hand():
    tokens = torch.tensor([[3.0, -1.0, 4.0, 0.0], [-2.0, -1.0, 1.0, 0.0], [0.5, 2.0, -1.0, 0.0], [0.0, -3.0, 2.0, -1.0]])
    hidden = measure(identity(4), tokens, batch=3).layers[0].hidden
    assert hidden.frequency.tolist() == [0.5, 0.25, 0.75, 0]
    assert hidden.density == hidden.positive == 6 / 16
    assert (hidden.tokens, hidden.units, hidden.dead) == (4, 4, 1)
    assert hidden.below[0.0] == 10 / 16


def test_curves_and_shares_of_the_energy_are_those_reckoned_by_hand():
    tally = Tally(10, (1.5, 2.5))
    tally.add(torch.tensor([[3.0, -4.0, *[0.0] * 8], [1.0] * 10, [0.0] * 10]), "here")
    found = tally.activity()
    assert found.below == {0.0: pytest.approx(18 / 30), 1.5: pytest.approx(28 / 30), 2.5: pytest.approx(28 / 30)}
    assert found.energy_below[1.5] == pytest.approx(10 / 35)
    assert found.top_energy[0.1] == pytest.approx((16 / 25 + 1 / 10) / 2)  # a token of zeros has none
    assert found.top_energy[0.5] == pytest.approx((1 + 0.5) / 2)
    assert found.needed[0.9] == pytest.approx((0.2 + 0.9) / 2)
    assert found.positive == pytest.approx(11 / 30)
    assert float(found.top_frequency.sum()) == pytest.approx(1)


def test_a_gate_and_its_product_are_counted_apart():
    model = llama(hidden_act="relu")
    tokens = torch.randint(32, (3, 8))
    seen = {}
    mlp = model.model.layers[1].mlp
    mlp.act_fn.register_forward_hook(lambda module, args, out: seen.update(gate=out))
    mlp.down_proj.register_forward_pre_hook(lambda module, args: seen.update(product=args[0]))
    layer = measure(model, tokens, batch=3).layers[1]
    assert layer.gate.density == pytest.approx(float((seen["gate"] > 0).double().mean()))
    assert layer.hidden.density == pytest.approx(float((seen["product"] != 0).double().mean()))
    assert layer.hidden.positive == pytest.approx(float((seen["product"] > 0).double().mean()))


def test_batches_change_nothing_and_the_model_stays_as_it_was():
    model = llama().train()
    tokens = torch.randint(32, (5, 8))
    one, many = (measure(model, tokens, batch=batch) for batch in (5, 2))
    assert model.training
    for a, b in zip(one.layers, many.layers, strict=True):
        assert a.hidden.tokens == b.hidden.tokens == 40
        assert a.hidden.needed[0.9] == pytest.approx(b.hidden.needed[0.9], abs=0.01)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_arguments_by_name_are_cut_too():
    model = t5("relu")
    ids = torch.randint(32, (3, 6))
    found = measure(model, {"input_ids": ids, "decoder_input_ids": ids[:, :2]}, batch=2)
    assert [layer.hidden.tokens for layer in found.layers] == [18, 6]


def test_a_table_has_a_line_for_each_layer_and_json_all_numbers(capsys):
    found = measure(llama(), torch.randint(32, (2, 8)))
    found.show()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["layer", *(layer.name for layer in found.layers)]
    assert len({len(line) for line in lines}) == 1
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["layers"][0]["gate"]["units"] == 24
    assert plain["density"] == pytest.approx(found.density)
    assert found.highest >= found.density


def test_what_cannot_be_measured_is_refused():
    model = identity(4)
    with pytest.raises(MeasureError, match="at least one sample"):
        measure(model, torch.ones(0, 4))
    with pytest.raises(MeasureError, match="sizes above 0"):
        measure(model, torch.ones(1, 4), thresholds=(0.0,))
    with pytest.raises(MeasureError, match="of 2 are not finite"):
        measure(model, torch.full((1, 4), float("inf")))
