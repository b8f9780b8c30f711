import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import bert, cnn, gpt2, llama, mlp, tokens
from torch import nn

from fewer.core import Selection, Selections
from fewer.data.models import load_causal_lm
from fewer.errors import ModelError, SelectionError
from fewer.measure.bytes import disk_bytes
from fewer.weights import loading
from fewer.weights.compact.plan import plan
from fewer.weights.loading import load
from fewer.weights.prune import Pruning, prune
from fewer.weights.saving import RECORD, SELECTIONS, save

Q = "model.layers.0.self_attn.q_proj"
MODELS = {
    "llama": llama,
    "untied llama": lambda: llama(tie_word_embeddings=False),
    "gpt2, stored [in, out]": gpt2,
    "bert": bert,
}


def same(a, b):
    """Bit for bit, names and types too."""
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(
        a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]) and torch.equal(a[key].signbit(), b[key].signbit())
        for key in a
    )


def positive_zeros(model):
    """Minus zeros are what a product with a mask leaves; only kept ones are stored as they are."""
    for parameter in model.parameters():
        parameter.data[parameter.data == 0] = 0
    return model


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_is_the_saved_one(tmp_path, name, dtype, compress):
    model = positive_zeros(prune(MODELS[name]().to(dtype), "magnitude", density=0.3))
    again = load(save(model, tmp_path / "out", compress=compress))
    assert same(model, again) and not again.training
    with torch.no_grad():
        assert torch.equal(model.eval()(tokens())[0], again(tokens())[0])


@pytest.mark.parametrize("make", [llama, gpt2])
def test_a_pruned_embedding_that_is_tied_to_the_head_is_stored_once(tmp_path, make):
    model = positive_zeros(prune(make(), "magnitude", density=0.2, embeddings=True))
    folder = save(model, tmp_path / "out", compress=True)
    assert same(model, load(folder)) and not any("lm_head" in key for key in load_file(folder / "model.safetensors"))


def test_what_was_done_comes_back_with_the_model(tmp_path):
    model = prune(llama(), "wanda", calibration=tokens(), pattern="2:4")
    again = load(save(model, tmp_path / "out", compress=True))
    assert isinstance(again.fewer, Pruning) and again.fewer.layers == model.fewer.layers
    assert again.fewer.configuration == model.fewer.configuration and again.fewer.seconds == model.fewer.seconds
    assert again.fewer.selections.overlap(model.fewer.selections) == 1
    second = save(again, tmp_path / "second", compress=True)
    assert (second / "model.safetensors").read_bytes() == (tmp_path / "out" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("pattern", "form", "structure"), [("2:4", "sparse-24-bitmask", "2:4"), ("row", "sparse-bitmask", "unstructured")]
)
def test_the_configuration_names_the_layout_and_what_stays_dense(tmp_path, pattern, form, structure):
    model = prune(llama(), "magnitude", pattern=pattern, exclude="*.down_proj")
    told = config_of(save(model, tmp_path / "out", compress=True))["quantization_config"]
    assert told["quant_method"] == "compressed-tensors" and told["sparsity_config"]["format"] == form
    assert told["sparsity_config"]["sparsity_structure"] == structure and told["sparsity_config"]["targets"] == ["Linear"]
    assert (
        "lm_head" in told["sparsity_config"]["ignore"] and "model.layers.0.mlp.down_proj" in told["sparsity_config"]["ignore"]
    )
    assert Q not in told["sparsity_config"]["ignore"]
    assert json.loads((tmp_path / "out" / RECORD).read_text())["stored_as"] == form


def test_a_two_of_four_weight_is_stored_as_compressed_tensors_did(tmp_path):
    model = nn.Sequential(nn.Linear(8, 1, bias=False))
    model[0].weight.data = torch.tensor([[1.0, 0, 0, 2, 0, 3, 4, 0]])
    model.fewer = pruning_of({"0": model[0].weight != 0})
    stored = load_file(save(model, tmp_path / "out", compress=True) / "model.safetensors")
    assert stored.keys() == {"0.weight"}  # 32 bytes as they are, 33 packed
    model[0].weight.data = model[0].weight.data.repeat(1, 2)
    model.fewer = pruning_of({"0": model[0].weight != 0})
    stored = load_file(save(model, tmp_path / "two", compress=True) / "model.safetensors")
    assert stored.pop("0.weight").shape == (0,)
    assert {key: tensor.tolist() for key, tensor in stored.items()} == {
        "0.bitmask": [[0b01101001] * 2],
        "0.compressed": [[1, 2, 3, 4] * 2],
        "0.shape": [[1], [16]],
    }


def test_rows_of_any_other_mask_say_where_their_values_begin(tmp_path):
    model = nn.Sequential(nn.Linear(100, 3, bias=False))
    model[0].weight.data = torch.zeros(3, 100)
    model[0].weight.data[0, :2] = model[0].weight.data[2, 99] = 5
    stored = load_file(save(model, tmp_path / "out", compress=True) / "model.safetensors")
    assert stored["0.row_offsets"].tolist() == [0, 2, 2] and stored["0.shape"].tolist() == [3, 100]
    assert stored["0.compressed"].tolist() == [5, 5, 5] and stored["0.bitmask"].shape == (3, 13)


def pruning_of(masks):
    return Pruning({}, Selections({name: Selection(mask) for name, mask in masks.items()}), (), 0.0)


def test_a_kept_zero_stays_kept_and_keeps_its_sign(tmp_path):
    model = prune(mlp(), "magnitude", density=0.2)
    name, selection = next(iter(model.fewer.selections.items()))
    places = selection.indices()[:2]
    model[int(name)].weight.data.view(-1)[places] = torch.tensor([0.0, -0.0])
    stored = load_file(save(model, tmp_path / "out", compress=True) / "model.safetensors")
    assert len(stored[f"{name}.compressed"]) == selection.kept
    again = load(tmp_path / "out", mlp())
    assert again[int(name)].weight.view(-1)[places].signbit().tolist() == [False, True]
    assert torch.equal(again.fewer.selections[name].mask, selection.mask)


def test_weights_that_grew_again_outside_the_selection_are_not_lost(tmp_path):
    model = prune(mlp(), "magnitude", density=0.1)
    model[0].weight.data[0, :3] = 7
    assert same(positive_zeros(model), load(save(model, tmp_path / "out", compress=True), mlp()))


def test_zeros_that_no_selection_names_shrink_the_file_too(tmp_path):
    model = positive_zeros(prune(llama(), "magnitude", density=0.2))
    del model.fewer
    dense, compact = save(model, tmp_path / "dense"), save(model, tmp_path / "compact", compress=True)
    assert disk_bytes(compact) < disk_bytes(dense) and same(model, load(compact))


@pytest.mark.parametrize("make", [mlp, cnn])
def test_a_plain_module_is_put_into_the_given_one(tmp_path, make):
    model = positive_zeros(prune(make(), "magnitude", density=0.2))
    folder = save(model, tmp_path / "out", compress=True)
    given = make()
    assert load(folder, given) is given and same(model, given)
    with pytest.raises(ModelError, match=r"no config\.json.*fewer\.load\(folder, model\)"):
        load(folder)


def test_tied_layers_of_a_plain_module_stay_tied(tmp_path):
    def tied():
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
        net[2].weight = net[0].weight
        return net

    model = positive_zeros(prune(tied(), "magnitude", density=0.1))
    again = load(save(model, tmp_path / "out", compress=True), tied())
    assert same(model, again) and again[0].weight is again[2].weight


def test_a_dense_model_asked_to_be_compact_is_saved_as_ever(tmp_path):
    folder = save(llama(), tmp_path / "out", compress=True)
    assert "quantization_config" not in config_of(folder) and same(llama(), type(llama()).from_pretrained(folder))


def test_the_plan_counts_the_bytes_of_the_file(tmp_path):
    for number, pattern in enumerate(("2:4", "row")):
        model = prune(llama(), "magnitude", pattern=pattern)
        made, folder = plan(model), save(model, tmp_path / str(number), compress=True)
        stored = load_file(folder / "model.safetensors")
        parts = [key for key in stored if key.rpartition(".")[2] in ("shape", "compressed", "bitmask", "row_offsets")]
        assert sum(stored[key].numel() * stored[key].element_size() for key in parts) == made.stored_bytes < made.dense_bytes


def test_shards_are_read_together(tmp_path, monkeypatch):
    model = positive_zeros(prune(llama(), "magnitude", density=0.2))
    whole = model.save_pretrained
    monkeypatch.setattr(model, "save_pretrained", lambda *args, **more: whole(*args, **more, max_shard_size="4KB"))
    folder = save(model, tmp_path / "out", compress=True)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2 and same(model, load(folder))
    shards[1].unlink()
    with pytest.raises(ModelError, match="is not there"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "damage", "why"),
    [
        ("bitmask", lambda t: t ^ 1, "its bitmask|the bitmask names|row offsets"),
        ("bitmask", lambda t: t[1:], "bitmask has 15 rows"),
        ("bitmask", lambda t: t[:, :1], "takes 2 bytes a row"),
        ("compressed", lambda t: t[:-1], "values are stored"),
        ("compressed", lambda t: t.int(), "type torch.int32"),
        ("compressed", None, "a bitmask and no compressed"),
        ("shape", None, "a bitmask and no shape"),
        ("shape", lambda t: t.flip(0) * 2, "rows"),
        ("shape", lambda t: t[:1], "of shape"),
        ("row_offsets", lambda t: t + 1, "row offsets contradict"),
        ("row_offsets", None, "the file disagrees"),
    ],
)
def test_damage_is_refused_with_the_name_of_the_layer(tmp_path, key, damage, why):
    folder = save(prune(llama(), "magnitude", density=0.2), tmp_path / "out", compress=True)
    stored = load_file(folder / "model.safetensors")
    tensor = stored.pop(f"{Q}.{key}")
    if damage is not None:
        stored[f"{Q}.{key}"] = damage(tensor).contiguous()
    save_file(stored, folder / "model.safetensors")
    with pytest.raises(ModelError, match=f"{Q} is damaged.*({why})"):
        load(folder)


def test_a_two_of_four_row_with_a_value_too_few_is_refused(tmp_path):
    folder = save(prune(llama(), "magnitude", pattern="2:4"), tmp_path / "out", compress=True)
    stored = load_file(folder / "model.safetensors")
    stored[f"{Q}.compressed"] = stored[f"{Q}.compressed"].flatten()
    save_file(stored, folder / "model.safetensors")
    with pytest.raises(ModelError, match="each of 16 rows keeps 8 weights"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("model.safetensors", lambda b: b[:-100], "cannot be read.*damaged or cut off"),
        ("model.safetensors", lambda b: b"", "cannot be read"),
        ("config.json", lambda b: b[:20], "cannot be read"),
        ("config.json", lambda b: b"[]", "no JSON object"),
        ("config.json", lambda b: b.replace(b"LlamaForCausalLM", b"NoSuchModel"), "transformers has no NoSuchModel"),
        ("config.json", lambda b: b.replace(b'"sparsity_config"', b'"config_groups"'), "quantized"),
        ("config.json", lambda b: b.replace(b'"hidden_size": 16', b'"hidden_size": 32'), "whole LlamaForCausalLM.*mismatched"),
        (RECORD, lambda b: b[:-9], "cannot be read"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, name, content, why):
    folder = save(prune(llama(), "magnitude", density=0.2), tmp_path / "out", compress=True)
    (folder / name).write_bytes(content((folder / name).read_bytes()))
    with pytest.raises(ModelError, match=why):
        load(folder)


def test_a_record_that_lacks_something_is_refused(tmp_path):
    folder = save(prune(mlp(), "magnitude"), tmp_path / "out")
    (folder / RECORD).write_text("{}")
    with pytest.raises(SelectionError, match=r"fewer\.json is damaged"):
        load(folder, mlp())
    (folder / SELECTIONS).unlink()
    assert not hasattr(load(folder, mlp()), "fewer")


def test_a_path_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is no folder"):
        load(tmp_path / "none")
    with pytest.raises(ModelError, match=r"model\.safetensors is not there"):
        load(tmp_path)
    (tmp_path / loading.INDEX).write_text('{"weight_map": {"a": "../b.safetensors"}}')
    with pytest.raises(ModelError, match="no shards beside it"):
        load(tmp_path)


def test_another_module_is_refused_and_left_as_it_was(tmp_path):
    folder = save(prune(mlp(), "magnitude", density=0.2), tmp_path / "out", compress=True)
    for other in (cnn(), nn.Sequential(*mlp(), nn.Linear(3, 3)), nn.Sequential(nn.Linear(5, 5), *list(mlp())[1:])):
        before = {key: tensor.clone() for key, tensor in other.state_dict().items()}
        with pytest.raises(ModelError, match="another model"):
            load(folder, other)
        assert all(torch.equal(before[key], tensor) for key, tensor in other.state_dict().items())


def test_from_pretrained_stops_at_a_compact_folder(tmp_path):
    """Were the file's parts taken for nothing, it would go on with random weights."""
    folder = save(prune(llama(), "magnitude", density=0.2), tmp_path / "out", compress=True)
    config = config_of(folder)
    with pytest.raises(ModelError, match=r"without their zeros\. fewer\.load"):
        load_causal_lm(folder)
    with pytest.raises(ImportError, match="compressed-tensors"):
        llama().from_pretrained(folder)
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RuntimeError, match="mismatch"):
        llama().from_pretrained(folder)
