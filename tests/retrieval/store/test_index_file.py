"""An index comes back from its file as it was."""

import numpy as np
import pytest

import fewer.retrieval
from fewer.errors import IndexFileError, RetrievalError
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.index.kinds import kind, kinds
from fewer.retrieval.store.arrays_file import write_arrays
from fewer.retrieval.vectors import SparseVectors

VECTORS = SparseVectors.from_rows([{0: 1.0, 3: 0.5}, {1: 2.0}, {3: 4.0}], 5)


def test_a_saved_index_answers_as_before(tmp_path):
    index = ExactIndex.build(VECTORS)
    fewer.retrieval.save_index(index, tmp_path / "a.index")
    back = fewer.retrieval.open_index(tmp_path / "a.index")
    assert (type(back), len(back), back.how) == (ExactIndex, 3, index.how)
    for ours, theirs in zip(back.search(VECTORS, 3), index.search(VECTORS, 3), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_that_is_no_index_is_refused(tmp_path):
    write_arrays(tmp_path / "a", "documents", {}, {})
    with pytest.raises(IndexFileError, match="holds documents, not an index"):
        fewer.retrieval.open_index(tmp_path / "a")
    write_arrays(tmp_path / "b", "index/exact", {"index": {}, "how": {}}, {})
    with pytest.raises(IndexFileError, match="does not hold what an index of kind 'exact' needs"):
        fewer.retrieval.open_index(tmp_path / "b")
    write_arrays(tmp_path / "c", "index/unknown", {"index": {}, "how": {}}, {})
    with pytest.raises(IndexFileError, match="the kinds of index are"):
        fewer.retrieval.open_index(tmp_path / "c")


def test_kinds_are_found_by_name():
    assert kind("exact") is ExactIndex and "exact" in kinds()
    with pytest.raises(RetrievalError, match="given: 'best'"):
        kind("best")
