"""A store works with every kind of index that there is."""

from importlib.util import find_spec

import numpy as np
import pytest

from fewer.retrieval.index.kinds import _WHERE
from fewer.retrieval.store.store import Store
from fewer.retrieval.vectors import SparseVectors

KINDS = [name for name, (module, _) in _WHERE.items() if find_spec(module)]


def some(seed, count, dimension=400):
    chance = np.random.default_rng(seed)
    rows = [
        dict(zip(chance.choice(dimension, 30, False).tolist(), (chance.integers(1, 64, 30) / 8).tolist(), strict=True))
        for _ in range(count)
    ]
    return SparseVectors.from_rows(rows, dimension)


@pytest.mark.parametrize("kind", KINDS)
def test_documents_are_found_by_their_own_vectors_sealed_merged_and_opened_again(kind, tmp_path):
    documents = some(0, 1100)
    names = [f"d{row}" for row in range(1100)]
    with Store.create(tmp_path / "s", 400, kind=kind) as store:
        for rows in (slice(0, 1050), slice(1050, 1100)):
            store.add(names[rows], documents[rows], names[rows], names[rows])
        assert (store.describe()["segments"], store.describe()["fresh"]) == (1, 50)
        store.delete(["d3", "d1060"])
        store.merge()
    with Store.open(tmp_path / "s") as store:
        asked = np.array([0, 7, 500, 1049, 1099])
        found = [row[0] for row in store.search(documents[asked], 5)]
        assert [match.id for match in found] == [f"d{row}" for row in asked]
        for row, match in zip(asked, found, strict=True):
            components, values = documents.row(row)
            assert match.score == pytest.approx(float(values @ values), rel=1e-3)
            held = store.document(match.id)
            np.testing.assert_array_equal(held.components, components)
            np.testing.assert_allclose(held.values, values, rtol=1e-2)
        assert "d3" not in {match.id for match in store.search(documents[3:4], 1000)[0]}
