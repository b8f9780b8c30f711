"""The rule of minference, written anew, against its kernel's description in plain loops."""

import numpy as np
import pytest
import torch

from fewer.attention.inputs import Inputs
from fewer.cli.bench import find


@pytest.fixture(scope="module")
def peer():
    assert "attention-front" in find()
    from fewer_benchmarks.peers import minference

    return minference


def test_blocks_run_from_wherever_a_diagonal_enters(peer):
    far = np.array([300, 299, 190, 128, 1, 0])
    # The block that ends at 256: 300 and 299 are beyond it; 190 enters at 66 - 64; 128 ends at 128, within a block of 66.
    assert peer.ranges(far, 256) == [(2, 130), (191, 319)]
    assert peer.ranges(np.array([0]), 64) == [(0, 64)]


def test_what_is_read_covers_every_chosen_line_and_nothing_far_from_one(peer):
    draws = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, h, 400, 8, generator=draws) for h in (2, 1))
    given = Inputs(q, k, k, 8**-0.5)
    columns, distances = peer.chosen(given, 40, 110)
    mask = peer.key_set(given, 40, 110).mask(given)
    assert set(range(30)) <= set(columns[0, 0].tolist())
    assert set(range(100)) <= set(distances[0, 0].tolist())
    weights = given.logits(336).softmax(-1)
    along = [float(sum(weights[0, 0, row, 336 + row - d] for row in range(64))) for d in range(337)]
    best = sorted(range(100, 337), key=lambda d: -along[d])[:10]
    assert set(best) == set(distances[0, 0].tolist()) - set(range(100))
    for i in range(400):
        for j in range(i + 1):
            if j in columns[0, 0] or i - j in distances[0, 0]:
                assert mask[0, 0, i, j]
            elif mask[0, 0, i, j]:  # within the corner that a diagonal cuts off, or what a merged run is rounded up by
                assert (i - j - distances[0, 0]).abs().min() < 2 * 64
