"""Documents whose scores are exact in every float: what the tests of the store are made of."""

import numpy as np

from fewer.retrieval.store.store import Store
from fewer.retrieval.vectors import SparseVectors

DIMENSION = 12
ASK_ALL = SparseVectors.from_rows([dict.fromkeys(range(DIMENSION), 1.0)], DIMENSION)


def vectors(*rows):
    return SparseVectors.from_rows(rows, DIMENSION)


def create(folder, **more):
    return Store.create(folder, DIMENSION, kind="exact", dense_width=2, **more)


def add(store, documents):
    """From a mapping of id to a mapping of component to value; the text is the id, the dense vector its sum and 1."""
    ids = list(documents)
    sums = [[sum(row.values()), 1] for row in documents.values()]
    store.add(
        ids, vectors(*documents.values()), [f"title of {name}" for name in ids], ids, np.array(sums, np.float32).reshape(-1, 2)
    )


def everything(store):
    """Id -> sum of its values, through a search that matches every document."""
    return {match.id: match.score for match in store.search(ASK_ALL, len(store))[0]} if len(store) else {}
