import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import noise
from fewer.core.topk import keep_largest
from fewer.errors import FewerError
from fewer.kernels.cpu.compensate import compensate, reference
from fewer.kernels.dispatch import cpu_path


@pytest.fixture(autouse=True)
def fresh_choice():
    cpu_path.cache_clear()
    yield
    cpu_path.cache_clear()


def problem(rows, width, density, seed):
    weights = noise((rows, width), seed, "w") - 0.5
    factor = (noise((width, width), seed, "f") - 0.5).triu() + torch.eye(width)
    return weights, torch.full((rows, width), 9.0), noise((rows, width), seed, "m") < density, factor


def by_hand(weights, errors, kept, factor, start, stop):
    """Entry by entry, in double precision."""
    w, e = weights.double().tolist(), errors.double().tolist()
    for r, row in enumerate(w):
        for c in range(start, stop):
            e[r][c] = 0.0 if kept[r, c] else row[c] / float(factor[c, c])
            for j in range(c, len(row)):
                row[j] -= e[r][c] * float(factor[c, j])
            if not kept[r, c]:
                row[c] = 0.0
    return torch.tensor(w), torch.tensor(e)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 9),
    width=st.integers(1, 17),
    density=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    seed=st.integers(0, 99),
    ends=st.tuples(st.integers(0, 17), st.integers(0, 17)),
)
def test_every_path_does_what_a_hand_does(rows, width, density, seed, ends):
    start, stop = sorted(min(end, width) for end in ends)
    weights, errors, kept, factor = problem(rows, width, density, seed)
    expected = by_hand(weights, errors, kept, factor, start, stop)
    for sweep in (reference, compensate):
        w, e = weights.clone(), errors.clone()
        sweep(w, e, kept, factor, start, stop)
        torch.testing.assert_close((w.double(), e.double()), (expected[0].double(), expected[1].double()), rtol=1e-3, atol=1e-3)
        removed = ~kept[:, start:stop]
        assert bool((w[:, start:stop][removed] == 0).all())


def test_a_factor_that_is_a_part_of_a_larger_one_is_read_where_it_lies():
    weights, errors, kept, factor = problem(5, 8, 0.5, 0)
    whole = torch.zeros(20, 20)
    whole[6:14, 6:14] = factor
    ours, theirs = weights.clone(), weights.clone()
    compensate(ours, errors.clone(), kept, whole[6:14, 6:14], 0, 8)
    reference(theirs, errors.clone(), kept, factor, 0, 8)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_sweep_of_no_columns_changes_nothing():
    weights, errors, kept, factor = problem(3, 4, 0.5, 0)
    ours = weights.clone()
    compensate(ours, errors, kept, factor, 2, 2)
    assert torch.equal(ours, weights) and bool((errors == 9).all())


@pytest.mark.parametrize("path", ["reference", "portable"])
def test_the_environment_forces_a_path(monkeypatch, path):
    monkeypatch.setenv("FEWER_KERNELS", path)
    assert cpu_path() == path
    weights, errors, kept, factor = problem(4, 6, 0.5, 1)
    expected = by_hand(weights, errors, kept, factor, 0, 6)[0]
    compensate(weights, errors, kept, factor, 0, 6)
    torch.testing.assert_close(weights.double(), expected.double(), rtol=1e-3, atol=1e-4)


def test_the_forced_path_is_the_one_that_runs(monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", "reference")
    ran = []
    monkeypatch.setattr("fewer.kernels.cpu.compensate.reference", lambda *args: ran.append("reference"))
    monkeypatch.setattr("fewer.kernels.cpu.sweep.sweep", lambda *args: ran.append("portable"))
    compensate(*problem(4, 6, 0.5, 1), 0, 6)
    cpu_path.cache_clear()
    monkeypatch.setenv("FEWER_KERNELS", "portable")
    compensate(*problem(4, 6, 0.5, 1), 0, 6)
    assert ran == ["reference", "portable"]


def test_an_unknown_path_lists_the_allowed(monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", "cuda")
    with pytest.raises(
        FewerError, match='FEWER_KERNELS is "cuda"; allowed: reference, portable, avx512, amx, triton, or unset'
    ):
        cpu_path()


def test_without_numba_the_reference_runs_and_says_so_once():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from fewer.kernels.dispatch import cpu_path\n"
        "assert cpu_path() == cpu_path() == 'reference'"
    )
    environment = {k: v for k, v in os.environ.items() if k != "FEWER_KERNELS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stderr.count("numba cannot be imported") == 1


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 9),
    groups=st.integers(1, 5),
    n_m=st.sampled_from([(2, 4), (4, 8), (1, 3), (0, 2), (3, 3)]),
    start=st.integers(0, 3),
    coarse=st.booleans(),
    seed=st.integers(0, 99),
)
def test_groups_are_chosen_on_weights_that_already_make_up_for_earlier_ones(rows, groups, n_m, start, coarse, seed):
    n, m = n_m
    stop = start + groups * m
    weights, errors, kept, factor = problem(rows, stop + 2, 0.5, seed)
    if coarse:  # scores that tie
        weights, factor = weights.sign(), torch.eye(stop + 2)
    expected = weights.clone(), errors.clone(), kept.clone()
    for c in range(start, stop, m):  # one group after the other, chosen from outside
        score = (expected[0][:, c : c + m] / factor.diagonal()[c : c + m]).square()
        expected[2][:, c : c + m] = keep_largest(score, n)
        reference(*expected, factor, c, c + m)
    for sweep in (reference, compensate):
        w, e, k = weights.clone(), errors.clone(), kept.clone()
        sweep(w, e, k, factor, start, stop, (n, m))
        assert torch.equal(k, expected[2])
        assert bool((k[:, start:stop].unflatten(1, (-1, m)).sum(2) == n).all())
        torch.testing.assert_close((w, e), expected[:2], rtol=1e-3, atol=1e-3)
