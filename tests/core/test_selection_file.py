import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fewer.core import Selection, Selections, noise
from fewer.core.selection_file import FORMAT, load_selections, save_selections
from fewer.errors import SelectionError

SOME = Selections(
    {
        "model.fc1": Selection(noise((7, 9), 1) < 0.5, "row"),
        "empty": Selection(torch.zeros(0, 4, dtype=torch.bool)),
        "conv": Selection(noise((2, 3, 3, 3), 3) < 0.2, "2:4"),
    }
)


def test_selections_come_back_from_disk_as_they_were(tmp_path):
    path = save_selections(SOME, tmp_path / "s.safetensors")
    again = load_selections(path)
    assert list(again) == list(SOME) and again.overlap(SOME) == 1
    assert [s.pattern for s in again.values()] == [s.pattern for s in SOME.values()]
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]


def test_one_bit_an_entry_is_stored(tmp_path):
    big = Selections({"w": Selection(noise((512, 512), 0) < 0.5)})
    assert save_selections(big, tmp_path / "s").stat().st_size < 512 * 512 / 8 + 400


def test_no_selections_at_all_are_stored_too(tmp_path):
    assert len(load_selections(save_selections(Selections({}), tmp_path / "s"))) == 0


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path, length):
    path = save_selections(SOME, tmp_path / "s")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SelectionError, match="cannot be read as selections"):
        load_selections(path)


def test_a_file_of_noise_is_refused(tmp_path):
    (tmp_path / "s").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(SelectionError, match="cannot be read"):
        load_selections(tmp_path / "s")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SelectionError, match="cannot be read"):
            load_selections(path)


def test_safetensors_of_something_else_are_refused(tmp_path):
    save_file({"model.fc1": torch.ones(3)}, tmp_path / "s")
    with pytest.raises(SelectionError, match="holds no selections of fewer"):
        load_selections(tmp_path / "s")


@pytest.mark.parametrize(
    ("tensor", "about"),
    [
        (torch.ones(1), {"w": {"shape": [8], "pattern": "row"}}),
        (torch.ones(1, dtype=torch.uint8), {"w": {"shape": [9], "pattern": "row"}}),
        (torch.full((1,), 255, dtype=torch.uint8), {"w": {"shape": [5], "pattern": "row"}}),
        (torch.ones(1, dtype=torch.uint8), {"w": {"shape": ["a"], "pattern": "row"}}),
        (torch.ones(1, dtype=torch.uint8), {"w": {"shape": [-2, -4], "pattern": "row"}}),
        (torch.ones(1, dtype=torch.uint8), {"w": {"shape": [8]}}),
        (torch.ones(1, dtype=torch.uint8), {"v": {"shape": [8], "pattern": "row"}}),
        (torch.ones(1, dtype=torch.uint8), ["w"]),
        (torch.ones(1, dtype=torch.uint8), None),
    ],
)
def test_a_header_that_does_not_fit_its_tensors_is_refused(tmp_path, tensor, about):
    save_file({"w": tensor}, tmp_path / "s", {"format": FORMAT, "selections": json.dumps(about)})
    with pytest.raises(SelectionError):
        load_selections(tmp_path / "s")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = save_selections(SOME, tmp_path / "s")
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space left"):
        save_selections(Selections({}), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_keeps_its_old_file(tmp_path):
    path = save_selections(SOME, tmp_path / "s")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OSError):
            save_selections(Selections({}), path)
    finally:
        tmp_path.chmod(0o755)
    assert load_selections(path).overlap(SOME) == 1
