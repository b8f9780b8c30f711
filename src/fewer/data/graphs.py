"""Graphs whose nodes carry words and a class."""

import os
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Int64

from fewer.data.loaded import Loaded
from fewer.data.obtain import known, obtain
from fewer.data.places import Places
from fewer.errors import DataError


@dataclass(frozen=True, eq=False)
class Graph(Loaded):
    """An undirected graph."""

    words: scipy.sparse.csr_array
    """Shape (nodes, vocabulary), float32: 1 where the word is present."""
    labels: Int64[np.ndarray, " nodes"]
    edges: Int64[np.ndarray, "links 2"]
    """Each link once, lower node first, no self-loops."""


def load(name: str = "cora", data: str | os.PathLike[str] | None = None) -> Graph:
    """The graph `name`. Raises DataError when it is unknown, of another kind, cannot be had, or differs from its sum."""
    entry = known(name)
    if entry.kind != "graph":
        raise DataError(f"{name} is a set of kind {entry.kind}, not a graph. Allowed: cora.")
    found = obtain(entry, Places.find(data))
    rows = [line.split("\t") for line in found.text("nodes.tsv").split("\n") if line]
    present = [np.array(words.split(), dtype=np.int64) for _, _, words in rows]
    starts = np.concatenate([[0], np.cumsum([len(words) for words in present])])
    columns = np.concatenate(present)
    return Graph(
        name=name,
        source=found.source,
        words=scipy.sparse.csr_array(
            (np.ones(len(columns), np.float32), columns, starts), shape=(len(rows), int(columns.max()) + 1)
        ),
        labels=np.array([int(label) for _, label, _ in rows], dtype=np.int64),
        edges=np.array([line.split("\t") for line in found.text("edges.tsv").split("\n") if line], dtype=np.int64),
    )
