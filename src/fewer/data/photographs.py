"""Photographs, and the decoding of pictures (which needs Pillow)."""

import io
import os
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from fewer.data.loaded import Loaded
from fewer.data.obtain import known, obtain
from fewer.data.places import Places
from fewer.errors import DataError, MissingExtraError


@dataclass(frozen=True, eq=False)
class Photographs(Loaded):
    """Whole photographs, without labels."""

    titles: tuple[str, ...]
    pixels: tuple[UInt8[np.ndarray, "height width 3"], ...]


def decode(packed: bytes) -> UInt8[np.ndarray, "height width 3"]:
    """The RGB pixels of a JPEG or PNG. Raises MissingExtraError without Pillow, DataError when it is no picture."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtraError("Decoding pictures needs Pillow, which is not installed: pip install pillow.") from error
    try:
        with Image.open(io.BytesIO(packed)) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{len(packed)} bytes that are no JPEG or PNG picture: {error}.") from error


def load(name: str = "sample-images", data: str | os.PathLike[str] | None = None) -> Photographs:
    """scikit-learn's two sample photographs. Raises DataError for another name, MissingExtraError without Pillow."""
    entry = known(name)
    if entry.kind != "photographs":
        raise DataError(f"{name} is a set of kind {entry.kind}, not of photographs. Allowed: sample-images.")
    found = obtain(entry, Places.find(data))
    from importlib.resources import files

    folder = files("sklearn.datasets.images")
    titles = ("china.jpg", "flower.jpg")
    return Photographs(
        name=name,
        source=found.source,
        titles=titles,
        pixels=tuple(decode((folder / title).read_bytes()) for title in titles),
    )
