import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import noise
from fewer.kernels.cpu.swap import Guard, reference, swap
from fewer.kernels.dispatch import cpu_path


@pytest.fixture(autouse=True)
def chosen_anew():
    cpu_path.cache_clear()
    yield
    cpu_path.cache_clear()


def problem(rows, width, seed, guarded):
    weight, shift, grow, drop = (noise((rows, width), seed, name) - 0.5 for name in ("weight", "shift", "grow", "drop"))
    mask = noise((rows, width), seed, "mask") < 0.5
    x = noise((width + 3, width), seed, "x") - 0.4
    products = x.t() @ x
    guard = Guard(weight, products, (weight * ~mask) @ products) if guarded else None
    return mask, shift, grow.abs(), drop, (shift * ~mask).sum(1).double(), guard


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 9),
    groups=st.integers(1, 9),
    group=st.sampled_from([0, 1, 3, 4]),
    cycles=st.sampled_from([0, 1, 7, 50]),
    delta=st.sampled_from([0.0, 0.05, 0.5]),
    same_sign=st.booleans(),
    guarded=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_portable_path_does_what_the_reference_does(rows, groups, group, cycles, delta, same_sign, guarded, seed):
    width = groups * (group or 5)
    *ours, guard = problem(rows, width, seed, guarded)
    *theirs, other = problem(rows, width, seed, guarded)
    swap(*ours, cycles=cycles, delta=delta, same_sign=same_sign, group=group, guard=guard)
    reference(*theirs, cycles, delta, same_sign, group, other)
    assert torch.equal(ours[0], theirs[0])
    torch.testing.assert_close(ours[4], theirs[4], rtol=0, atol=1e-12)


def test_the_forced_path_is_the_one_that_runs(monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", "reference")
    ran = []
    monkeypatch.setattr("fewer.kernels.cpu.swap.reference", lambda *args: ran.append("reference"))
    monkeypatch.setattr("fewer.kernels.cpu.swap._portable", lambda: lambda *args: ran.append("portable"))
    *arrays, _ = problem(2, 5, 0, False)
    swap(*arrays, cycles=1, delta=0.0, same_sign=True)
    cpu_path.cache_clear()
    monkeypatch.setenv("FEWER_KERNELS", "portable")
    swap(*arrays, cycles=1, delta=0.0, same_sign=True)
    assert ran == ["reference", "portable"]
