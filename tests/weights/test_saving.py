import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model
from small_models import bert, cnn, floats, gpt2, llama, mlp, tokens

from fewer.core.selection_file import load_selections
from fewer.errors import ModelError, SelectionError
from fewer.weights import saving
from fewer.weights.masks import held, hold
from fewer.weights.prune import prune
from fewer.weights.saving import RECORD, SELECTIONS, reapply, save


def names(folder):
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("make", [llama, lambda: llama(tie_word_embeddings=False), gpt2, bert])
def test_a_saved_model_loads_again_and_computes_the_same(tmp_path, make):
    model = prune(make(), "wanda", calibration=tokens())
    again = type(model).from_pretrained(save(model, tmp_path / "out")).eval()
    with torch.no_grad():
        assert torch.equal(model(tokens())[0], again(tokens())[0])
    assert load_selections(tmp_path / "out" / SELECTIONS).overlap(model.fewer.selections) == 1


@pytest.mark.parametrize(("make", "shape"), [(mlp, (4, 12)), (cnn, (2, 3, 8, 8))])
def test_a_plain_module_is_saved_as_its_state(tmp_path, make, shape):
    model = prune(make(), "sparsegpt", calibration=floats(*shape))
    folder = save(model, tmp_path / "a" / "b")
    fresh = make()
    load_model(fresh, folder / "model.safetensors")
    assert torch.equal(fresh(floats(*shape)[0]), model(floats(*shape)[0]))
    assert sorted(p.name for p in folder.iterdir()) == [RECORD, "model.safetensors", SELECTIONS]


def test_the_record_says_how_it_was_made(tmp_path):
    model = prune(llama(), "random:sparsegpt", calibration=tokens(), pattern="2:4", seed=7)
    record = json.loads((save(model, tmp_path / "out") / RECORD).read_text())
    assert record["pruning"]["method"] == "RandomSparseGPT" and record["pruning"]["seed"] == 7
    assert record["pruning"]["pattern"] == "2:4" and len(record["layers"]) == 21
    first = {"name": "model.layers.0.self_attn.q_proj", "shape": [16, 16], "density": 0.5}
    assert record["layers"][0].items() >= first.items() and record["layers"][0]["seconds"] > 0
    assert record["stored_as"] == "dense"
    assert record["environment"]["versions"]["torch"]


def test_everyone_may_read_what_was_saved(tmp_path):
    folder = save(prune(llama(), "magnitude"), tmp_path / "out")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_a_model_that_was_never_pruned_is_saved_without_selections(tmp_path):
    assert [p.name for p in save(mlp(), tmp_path / "out").iterdir()] == ["model.safetensors"]


def test_held_masks_become_part_of_the_weights(tmp_path):
    model = prune(mlp(), "magnitude", density=0.3)
    hold(model, model.fewer.selections)
    fresh = mlp()
    load_model(fresh, save(model, tmp_path / "out") / "model.safetensors")
    assert len(held(model)) == 0
    assert all(torch.equal(fresh[int(n)].weight != 0, s.mask) for n, s in model.fewer.selections.items())


def test_selections_are_applied_again_after_fine_tuning(tmp_path):
    model = prune(mlp(), "magnitude", density=0.3)
    folder = save(model, tmp_path / "out")
    for p in model.parameters():
        p.data += 1
    reapply(model, folder)
    assert all(torch.equal(model[int(n)].weight != 0, s.mask) for n, s in model.fewer.selections.items())
    with pytest.raises(SelectionError, match="another model"):
        reapply(llama(), folder)
    with pytest.raises(SelectionError, match="cannot be read"):
        reapply(mlp(), tmp_path)


def test_an_existing_folder_is_refused_and_replaced_only_when_allowed(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep me")
    with pytest.raises(ModelError, match=r"exists and is not empty.*--overwrite"):
        save(mlp(), folder)
    assert (folder / "mine.txt").read_text() == "keep me" and names(tmp_path) == ["out"]
    save(mlp(), folder, overwrite=True)
    assert [p.name for p in folder.iterdir()] == ["model.safetensors"] and names(tmp_path) == ["out"]


def test_an_empty_folder_may_be_filled(tmp_path):
    save(mlp(), tmp_path)
    assert (tmp_path / "model.safetensors").exists()


def test_a_path_that_is_a_file_or_under_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ModelError, match="exists and is not empty"):
        save(mlp(), tmp_path / "file")
    with pytest.raises(ModelError, match=r"cannot be written: Not a directory|cannot be written: File exists"):
        save(mlp(), tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "mine" and names(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ModelError, match="cannot be written: Permission denied"):
            save(mlp(), tmp_path / "out")
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(saving.tempfile, "mkdtemp", denied)
    with pytest.raises(ModelError, match=r"cannot be written: Permission denied\. Choose"):
        save(mlp(), tmp_path / "out")
    assert not names(tmp_path)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("killed"), KeyboardInterrupt()])
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("where", ["weights", "selections", "swap"])
def test_a_write_that_is_cut_off_leaves_no_half_folder_and_keeps_an_old_one(tmp_path, monkeypatch, error, exists, where):
    model = prune(llama(), "magnitude")
    if exists:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "old.txt").write_text("old")

    def fail(*_, **__):
        raise error

    def half_written(folder, **_):
        (Path(folder) / "config.json").write_text("{")
        raise error

    original = Path.replace
    if where == "weights":
        monkeypatch.setattr(model, "save_pretrained", half_written)
    elif where == "selections":
        monkeypatch.setattr(saving, "save_selections", fail)
    else:
        new = lambda self, to: Path(to) == tmp_path / "out" and self.name != "was"  # noqa: E731
        monkeypatch.setattr(Path, "replace", lambda self, to: fail() if new(self, to) else original(self, to))
    with pytest.raises(ModelError if isinstance(error, OSError) else type(error)) as caught:
        save(model, tmp_path / "out", overwrite=True)
    if isinstance(error, OSError):
        assert "was not written: No space left on device. Nothing was left behind." in str(caught.value)
    assert names(tmp_path) == (["out"] if exists else [])
    assert not exists or (tmp_path / "out" / "old.txt").read_text() == "old"
