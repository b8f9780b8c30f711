import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.errors import VectorError
from fewer.retrieval.concentration import concentration
from fewer.retrieval.vectors import SparseVectors


def test_the_curve_is_what_the_hand_computes():
    found = concentration(SparseVectors.from_rows([{0: 6, 1: 3, 2: 1, 5: 2}, {}, {3: 1, 4: 1}], 6), (0.25, 0.5, 0.75))
    # 6 of 12, 9, 11; of the second row half an entry, one, one and a half
    np.testing.assert_allclose(found.mass, [(6 / 12 + 1 / 4) / 2, (9 / 12 + 1 / 2) / 2, (11 / 12 + 3 / 4) / 2])
    assert (found.entries, found.for_half) == (3.0, 1.0)
    assert found.at(1.0) == 1.0
    assert "50%       62.5%" in str(found)


@given(st.lists(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), min_size=1, max_size=8))
def test_mass_is_at_least_the_share_and_rises_ever_slower(rows):
    shares = np.arange(0.1, 1.01, 0.1).round(1)
    found = concentration(SparseVectors.from_rows([dict(enumerate(row)) for row in rows], 30), tuple(shares))
    assert (found.mass >= shares - 1e-6).all()
    assert (np.diff(np.concatenate([[0], found.mass]), 2) < 1e-6).all()


@pytest.mark.parametrize("shares", [(), (0.5, 0.5), (0, 0.5), (0.5, 1.5)])
def test_shares_that_do_not_rise_in_range_are_refused(shares):
    with pytest.raises(VectorError, match="shares must rise"):
        concentration(SparseVectors.from_rows([{0: 1.0}], 1), shares)


def test_vectors_without_entries_have_no_curve():
    with pytest.raises(VectorError, match="no vector has an entry"):
        concentration(SparseVectors.from_rows([{}], 1))
