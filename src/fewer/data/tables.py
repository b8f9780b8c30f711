"""Tables for classification: a row of numbers, a class."""

import csv
import io
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from fewer.data.loaded import Loaded
from fewer.data.obtain import Found, known, obtain
from fewer.data.places import Places
from fewer.data.split import shuffled
from fewer.errors import DataError


@dataclass(frozen=True, eq=False)
class Table(Loaded):
    """A table in two fixed, disjoint parts."""

    train_x: Float64[np.ndarray, "train features"]
    train_y: Int64[np.ndarray, " train"]
    test_x: Float64[np.ndarray, "test features"]
    test_y: Int64[np.ndarray, " test"]
    features: tuple[str, ...]
    classes: tuple[str, ...]
    """Name of each label."""


def load(name: str, data: str | os.PathLike[str] | None = None) -> Table:
    """The table `name`, not scaled. Raises DataError when it is unknown, no table, cannot be had, or differs from its sum.

    The network connections of NSL-KDD: symbolic features are one-hot over the values of the training part, the class is
    normal or attack, and the difficulty column, which leaks it, is left out.
    """
    entry = known(name)
    if name not in _TABLES:
        raise DataError(f"{name} is a set of kind {entry.kind}, not a table. Tables: {', '.join(_TABLES)}.")
    return _TABLES[name](obtain(entry, Places.find(data)))


def _breast_cancer(found: Found) -> Table:
    from sklearn.datasets import load_breast_cancer

    return _of_sklearn(found, load_breast_cancer(), test=143)


def _wine(found: Found) -> Table:
    from sklearn.datasets import load_wine

    return _of_sklearn(found, load_wine(), test=45)


def _of_sklearn(found: Found, bunch, test: int) -> Table:
    train_rows, test_rows = shuffled(len(bunch.data), test)
    y = bunch.target.astype(np.int64)
    return Table(
        name=found.name,
        source=found.source,
        train_x=bunch.data[train_rows],
        train_y=y[train_rows],
        test_x=bunch.data[test_rows],
        test_y=y[test_rows],
        features=tuple(map(str, bunch.feature_names)),
        classes=tuple(map(str, bunch.target_names)),
    )


def _nsl_kdd(found: Found) -> Table:
    fields = [row for row in csv.reader(io.StringIO(found.text("fields.csv"))) if row]
    train = list(csv.reader(io.StringIO(found.text("train20.txt"))))
    test = list(csv.reader(io.StringIO(found.text("test21.txt" if found.name == "nsl-kdd" else "KDDTest+.txt"))))
    features, train_columns, test_columns = [], [], []
    for place, (field, kind) in enumerate(fields):
        values = np.array([row[place] for row in train]), np.array([row[place] for row in test])
        if kind.strip() == "symbolic" and field in ("protocol_type", "service", "flag"):
            levels = np.unique(values[0])
            features += [f"{field}={level}" for level in levels]
            train_columns.append(values[0][:, None] == levels)
            test_columns.append(values[1][:, None] == levels)
        else:
            features.append(field)
            train_columns.append(values[0].astype(np.float64)[:, None])
            test_columns.append(values[1].astype(np.float64)[:, None])
    return Table(
        name=found.name,
        source=found.source,
        train_x=np.concatenate(train_columns, axis=1, dtype=np.float64),
        train_y=np.array([row[len(fields)] != "normal" for row in train], dtype=np.int64),
        test_x=np.concatenate(test_columns, axis=1, dtype=np.float64),
        test_y=np.array([row[len(fields)] != "normal" for row in test], dtype=np.int64),
        features=tuple(features),
        classes=("normal", "attack"),
    )


_TABLES: dict[str, Callable[[Found], Table]] = {
    "breast-cancer": _breast_cancer,
    "wine": _wine,
    "nsl-kdd": _nsl_kdd,
    "nsl-kdd-test": _nsl_kdd,
}
