import math

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import Count, Unstructured, noise, select
from fewer.errors import SelectionError
from fewer.weights.iso_flop.ramanujan import spectrum


def test_a_complete_graph_has_no_second_singular_value():
    found = spectrum(torch.ones(6, 10, dtype=torch.bool))
    assert (found.first, found.second) == pytest.approx((math.sqrt(60), 0))
    assert found.bound == pytest.approx(3 + math.sqrt(5)) and found.ramanujan


def test_a_graph_in_two_pieces_is_no_expander():
    found = spectrum(torch.block_diag(torch.ones(8, 8), torch.ones(8, 8)).bool())
    assert (found.first, found.second, found.bound) == pytest.approx((8, 8, 2 * math.sqrt(7)))
    assert not found.ramanujan and found.gap == pytest.approx(2 * math.sqrt(7) - 8)


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(3, 12), columns=st.integers(3, 12), seed=st.integers(0, 99))
def test_singular_values_are_the_eigenvalues_of_the_bipartite_graph(rows, columns, seed):
    count = max(rows, columns) + (rows * columns - max(rows, columns)) // 2
    mask = select(noise((rows, columns), seed), Unstructured(), Count(count)).mask
    graph = nx.Graph()
    graph.add_nodes_from([("out", i) for i in range(rows)] + [("in", j) for j in range(columns)])
    graph.add_edges_from((("out", i), ("in", j)) for i, j in mask.nonzero().tolist())
    eigenvalues = sorted(torch.linalg.eigvalsh(torch.from_numpy(nx.to_numpy_array(graph))).tolist(), reverse=True)
    found = spectrum(mask)
    assert (found.first, found.second) == pytest.approx(tuple(eigenvalues[:2]), abs=1e-6)
    assert found.bound == pytest.approx(math.sqrt(count / rows - 1) + math.sqrt(count / columns - 1))


def test_random_masks_come_close_to_the_bound_that_masks_in_pieces_miss():
    drawn = select(noise((64, 64), 0), Unstructured(), Count(8 * 64)).mask
    pieces = torch.block_diag(*[torch.ones(8, 8)] * 8).bool()
    assert drawn.sum() == pieces.sum()
    assert abs(spectrum(drawn).gap) < 0.5
    assert spectrum(pieces).gap < -2


def test_kernel_positions_are_inputs_and_weights_have_a_gap_of_their_own():
    mask = torch.ones(4, 3, 2, 2, dtype=torch.bool)
    assert spectrum(mask) == pytest.approx(spectrum(mask.flatten(1)), nan_ok=True)
    weight = -torch.ones(4, 3, 2, 2)
    assert spectrum(mask, weight).weighted_gap == pytest.approx(math.sqrt(48))
    assert math.isnan(spectrum(mask).weighted_gap)


@pytest.mark.parametrize("mask", [torch.ones(1, 9), torch.zeros(4, 4), torch.eye(3, 9)])
def test_masks_too_small_or_too_empty_are_refused(mask):
    with pytest.raises(SelectionError, match="two rows"):
        spectrum(mask.bool())
