"""Photographs with metric depth known at a few pixels."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from fewer.data.loaded import Loaded
from fewer.data.obtain import known, obtain
from fewer.data.photographs import decode
from fewer.data.places import Places
from fewer.errors import DataError

SHRUNK = 4
"""The stored pictures are 160x120, the labels' frame is 640x480."""


@dataclass(frozen=True, eq=False)
class DepthImage:
    """One photograph and its labels, all in the pixels of the stored 160x120 picture."""

    scene: str
    """corridor, factory, kitchen, ...; split by scene, never by pixel."""
    pixels: UInt8[np.ndarray, "height width 3"]
    points: Float32[np.ndarray, "labels 2"]
    """x, y of each label."""
    metres: Float32[np.ndarray, " labels"]
    """Along the optical axis."""
    camera: Float32[np.ndarray, " 4"]
    """fx, fy, cx, cy."""


@dataclass(frozen=True, eq=False)
class SparseDepth(Loaded):
    """A sparse-label depth set."""

    images: tuple[DepthImage, ...]


def load(name: str = "ibims1-sparse", data: str | os.PathLike[str] | None = None) -> SparseDepth:
    """The depth set `name`. Raises DataError when it is unknown, of another kind, cannot be had, or differs from its sum;
    MissingExtraError without Pillow."""
    entry = known(name)
    if entry.kind != "depth":
        raise DataError(f"{name} is a set of kind {entry.kind}, not depth labels. Allowed: ibims1-sparse.")
    found = obtain(entry, Places.find(data))
    rows = [json.loads(line) for line in found.text("labels.jsonl").split("\n") if line]
    return SparseDepth(name=name, source=found.source, images=tuple(_image(row, found.path("rgb")) for row in rows))


def _image(row: dict, pictures: Path) -> DepthImage:
    path = pictures / Path(row["image"]).name
    return DepthImage(
        scene=path.stem.rpartition("_")[0],
        pixels=decode(path.read_bytes()),
        points=np.array(row["pixel_coords"], np.float32) / SHRUNK,
        metres=np.array(row["depth"], np.float32),
        camera=np.array(row["intrinsics"][:4], np.float32) / SHRUNK,
    )
