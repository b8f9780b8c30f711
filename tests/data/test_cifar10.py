import io
import tarfile

import numpy as np
import pytest

from fewer.data import SETS, images
from fewer.data.files import File
from fewer.data.obtain import Found
from fewer.data.sources import Public
from fewer.errors import DataError


def archive(path, classes):
    """As the authors pack it: records of a label and three planes of 32 x 32, in six files."""
    with tarfile.open(path, "w:gz") as packed:
        parts = {f"data_batch_{part}.bin": [part, part + 1] for part in range(1, 6)} | {"test_batch.bin": [9]}
        records = {
            name: b"".join(bytes([label, *[label] * 1024, *[20] * 1024, *[30] * 1024]) for label in labels)
            for name, labels in parts.items()
        }
        for name, content in {**records, "batches.meta.txt": ("\n".join(classes) + "\n\n").encode()}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def test_records_are_read_colour_by_colour(tmp_path):
    path = archive(tmp_path / "cifar-10-binary.tgz", [f"class{n}" for n in range(10)])
    found = Found("cifar10", "folder", (path,), (File("cifar10/cifar-10-binary.tgz", "", 0),))
    train_x, train_y, test_x, test_y, classes = images._PARTS["cifar10"](found)
    assert (train_x.shape, test_x.shape) == ((10, 3, 32, 32), (1, 3, 32, 32))
    assert train_y.tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert [np.unique(train_x[4, colour]).tolist() for colour in range(3)] == [[3], [20], [30]]
    assert (test_y.tolist(), len(classes)) == ([9], 10)


def test_an_archive_is_kept_packed_so_that_its_sum_can_be_checked(tmp_path, monkeypatch):
    packed = archive(tmp_path / "source.tar.gz", ["a"])
    monkeypatch.setattr(Public, "_download", lambda self, there, target: packed)
    source = Public("nowhere/", {"cifar10/cifar-10-binary.tgz": "cifar-10-binary.tar.gz"})
    before = packed.read_bytes()
    source.deliver(SETS["cifar10"].files, tmp_path)
    assert (tmp_path / "cifar10/cifar-10-binary.tgz").read_bytes() == before


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    def down(self, files, into):
        from fewer.data.sources import UnreachableError

        raise UnreachableError("no route to host")

    monkeypatch.setattr(Public, "deliver", down)
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"(?s)cifar10 cannot be had.*no route.*Set FEWER_DATA.*cifar10/cifar-10-binary.tgz"):
        images.load("cifar10", tmp_path)
