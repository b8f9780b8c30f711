"""Labelled images: float32 in [0, 1], shape (rows, channels, height, width)."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from fewer.data.loaded import Loaded
from fewer.data.obtain import Found, known, obtain, on_this_machine
from fewer.data.photographs import decode
from fewer.data.places import Places
from fewer.data.split import SEED, encode, shuffled
from fewer.errors import DataError

DEFAULT, EMBEDDED = "mnist-10k", "digits"

_FASHION = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_DIGITS = tuple("0123456789")

Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Images(Loaded):
    """A set of labelled images in two fixed, disjoint parts."""

    train_x: Float32[np.ndarray, "train channels height width"]
    train_y: Int64[np.ndarray, " train"]
    test_x: Float32[np.ndarray, "test channels height width"]
    test_y: Int64[np.ndarray, " test"]
    classes: tuple[str, ...]
    """Name of each label."""


def load(name: str, data: str | os.PathLike[str] | None = None) -> Images:
    """The image set `name`. Raises DataError when it is unknown, no image set, cannot be had, or differs from its sum."""
    entry = known(name)
    if name not in _PARTS:
        raise DataError(f"{name} is a set of kind {entry.kind}, not of labelled images. Image sets: {', '.join(_PARTS)}.")
    found = obtain(entry, Places.find(data))
    train_x, train_y, test_x, test_y, classes = _PARTS[name](found)
    return Images(
        name=name,
        source=found.source,
        train_x=_unit(train_x),
        train_y=train_y.astype(np.int64),
        test_x=_unit(test_x),
        test_y=test_y.astype(np.int64),
        classes=classes,
    )


def default_images(data: str | os.PathLike[str] | None = None) -> Images:
    """`mnist-10k` when it is on this machine, else the embedded `digits`; the result says which.

    Raises DataError when a file is there but differs from its sum. Nothing is downloaded.
    """
    here = on_this_machine(known(DEFAULT), Places.find(data), [])
    return load(DEFAULT if here else EMBEDDED, data)


def _unit(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32)


def _mnist(found: Found) -> Parts:
    x = np.frombuffer(found.bytes("images-idx3-ubyte"), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    y = np.frombuffer(found.bytes("labels-idx1-ubyte"), np.uint8, offset=8)
    return x[:8000], y[:8000], x[8000:], y[8000:], _DIGITS


def _fashion(found: Found) -> Parts:
    with np.load(found.path("fashion900.npz"), allow_pickle=False) as arrays:
        x, y = arrays["images"][:, None], arrays["labels"]
    train, test = shuffled(len(x), test=225)
    return x[train], y[train], x[test], y[test], _FASHION


def _digits(found: Found) -> Parts:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 1, 8, 8)
    train, test = shuffled(len(x), test=450)
    return x[train], y[train], x[test], y[test], _DIGITS


def _cifar10(found: Found) -> Parts:
    with zipfile.ZipFile(io.BytesIO(found.bytes("cifar10-6k.zip"))) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        classes = tuple(sorted({name.split("/")[1] for name in names}))
        parts = []
        for part in ("train", "test"):
            own = [name for name in names if name.startswith(f"{part}/")]
            x = np.stack([decode(archive.read(name)).transpose(2, 0, 1) for name in own])
            y = encode((name.split("/")[1] for name in own), classes)
            order = np.random.default_rng(SEED).permutation(len(own))  # stored class by class
            parts += [x[order], y[order]]
    return parts[0], parts[1], parts[2], parts[3], classes


def _cifar10_whole(found: Found) -> Parts:
    """Records of one label and 3,072 pixels, colour by colour; five files to train and one to test."""
    with tarfile.open(fileobj=io.BytesIO(found.bytes("cifar-10-binary.tgz")), mode="r:gz") as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(f"cifar-10-batches-bin/{name}")
            assert member is not None  # the archive has the sum of one that holds it
            return member.read()

        classes = tuple(read("batches.meta.txt").decode().split())
        train = b"".join(read(f"data_batch_{part}.bin") for part in range(1, 6))
        rows = [np.frombuffer(part, np.uint8).reshape(-1, 3073) for part in (train, read("test_batch.bin"))]
    (train_y, train_x), (test_y, test_x) = ((part[:, 0], part[:, 1:].reshape(-1, 3, 32, 32)) for part in rows)
    return train_x, train_y, test_x, test_y, classes


_PARTS: dict[str, Callable[[Found], Parts]] = {
    "mnist-10k": _mnist,
    "digits": _digits,
    "fashion-mnist-900": _fashion,
    "cifar10-6k": _cifar10,
    "cifar10": _cifar10_whole,
}
