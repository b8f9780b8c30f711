"""Short labelled texts."""

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from fewer.data.loaded import Loaded
from fewer.data.obtain import Found, known, obtain
from fewer.data.places import Places
from fewer.data.split import encode, shuffled
from fewer.errors import DataError

Rows = tuple[list[str], np.ndarray]


@dataclass(frozen=True, eq=False)
class Sentences(Loaded):
    """Labelled texts in two fixed, disjoint parts."""

    train_x: tuple[str, ...]
    train_y: Int64[np.ndarray, " train"]
    test_x: tuple[str, ...]
    test_y: Int64[np.ndarray, " test"]
    classes: tuple[str, ...]
    """Name of each label."""


def load(name: str, data: str | os.PathLike[str] | None = None) -> Sentences:
    """The labelled texts `name`. Raises DataError when it is unknown, of another kind, cannot be had, or differs from its sum.

    `sentiment-sentences` is split by domain: amazon and imdb to train, yelp to test.
    """
    entry = known(name)
    if name not in _PARTS:
        raise DataError(f"{name} is a set of kind {entry.kind}, not labelled texts. Allowed: {', '.join(_PARTS)}.")
    found = obtain(entry, Places.find(data))
    (train_x, train_y), (test_x, test_y), classes = _PARTS[name](found)
    return Sentences(
        name=name,
        source=found.source,
        train_x=tuple(train_x),
        train_y=train_y,
        test_x=tuple(test_x),
        test_y=test_y,
        classes=classes,
    )


def _divided(x: list[str], y: np.ndarray, test: int) -> tuple[Rows, Rows]:
    first, second = shuffled(len(x), test)
    return ([x[i] for i in first], y[first]), ([x[i] for i in second], y[second])


def _agnews(found: Found) -> tuple[Rows, Rows, tuple[str, ...]]:
    rows = list(csv.DictReader(io.StringIO(found.text("agnews.csv"), newline="")))
    y = np.array([int(row["label"]) - 1 for row in rows], dtype=np.int64)
    train, test = _divided([f"{row['title']}\n{row['description']}" for row in rows], y, test=2000)
    return train, test, ("world", "sports", "business", "science and technology")


def _banking77(found: Found) -> tuple[Rows, Rows, tuple[str, ...]]:
    classes = tuple(json.loads(found.text("categories.json")))

    def part(file: str) -> Rows:
        rows = list(csv.DictReader(io.StringIO(found.text(file), newline="")))
        return [row["text"] for row in rows], encode((row["category"] for row in rows), classes)

    return part("train.csv"), part("test.csv"), classes


def _rt_polarity(found: Found) -> tuple[Rows, Rows, tuple[str, ...]]:
    negative, positive = (found.text(file).removesuffix("\n").split("\n") for file in ("neg.txt", "pos.txt"))
    y = np.repeat(np.array([0, 1], dtype=np.int64), [len(negative), len(positive)])
    train, test = _divided([line.strip() for line in negative + positive], y, test=2000)
    return train, test, ("negative", "positive")


def _sentiment(found: Found) -> tuple[Rows, Rows, tuple[str, ...]]:
    def part(*domains: str) -> Rows:
        lines = [line for d in domains for line in found.text(f"{d}_labelled.txt").split("\n") if line.strip()]
        pairs = [line.rsplit("\t", 1) for line in lines]
        return [text.strip() for text, _ in pairs], np.array([int(label) for _, label in pairs], dtype=np.int64)

    return part("amazon_cells", "imdb"), part("yelp"), ("negative", "positive")


_PARTS: dict[str, Callable[[Found], tuple[Rows, Rows, tuple[str, ...]]]] = {
    "agnews-7k6": _agnews,
    "banking77": _banking77,
    "rt-polarity": _rt_polarity,
    "sentiment-sentences": _sentiment,
}
