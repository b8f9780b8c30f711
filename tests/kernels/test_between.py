"""Kernels between the products of a decoder layer, against torch; steps that run in one call."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import rms_norm, silu

from fewer.kernels.cpu import between
from fewer.kernels.cpu.steps import Steps
from fewer.kernels.cpu.team import Work
from fewer.kernels.dispatch import cpu_path

PATHS = [path for path in ("avx512", "portable") if path == "portable" or cpu_path() == "avx512"]
KEPT: list = []


def block(*numbers: int) -> int:
    KEPT.append(np.array(numbers, np.int64))
    return int(KEPT[-1].ctypes.data)


def run(kernel, units, *operands, threads=1):
    steps = Steps(threads)
    steps.add(Work(kernel, units, 0, 0, False, *operands))
    steps.close()
    steps.run(0, 1)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("biased", [False, True])
def test_the_norm_adds_to_the_residual_and_is_that_of_torch(path, biased):
    x, y, bias, weight, out = (torch.randn(5, 48) + 1).unbind()
    summed = x + y + bias if biased else x + y
    expected = rms_norm(summed, (48,), weight, 1e-5)
    epsilon = int(np.float32(1e-5).view(np.uint32))
    at = x.data_ptr(), weight.data_ptr(), out.data_ptr(), 48, epsilon
    run(between.norm(path), 1, block(y.data_ptr(), bias.data_ptr() if biased else 0, *at))
    torch.testing.assert_close(x, summed)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("neurons", [16, 256, 784])
def test_the_gate_is_that_of_torch_also_where_the_exponential_is_out_of_range(path, biased, neurons):
    gate, up, first, second = torch.randn(4, neurons).unbind()
    gate, out = gate * 3, torch.empty(neurons)
    gate[:4] = torch.tensor([-500.0, 500.0, -88.0, 0.0])
    expected = silu(gate + first) * (up + second) if biased else silu(gate) * up
    biases = (first.data_ptr(), second.data_ptr()) if biased else (0, 0)
    run(between.gate(path), -(-neurons // 256), block(gate.data_ptr(), up.data_ptr(), *biases, out.data_ptr(), neurons))
    torch.testing.assert_close(out, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_a_gate_that_is_no_number_stays_so(path):
    gate, up, out = torch.full((16,), torch.nan), torch.ones(16), torch.zeros(16)
    run(between.gate(path), 1, block(gate.data_ptr(), up.data_ptr(), 0, 0, out.data_ptr(), 16))
    assert out.isnan().all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_step_sees_all_of_what_the_one_before_it_wrote(threads):
    """A chain of gates, each reading the last one's results, gives what torch gives in order; run again, it gives the same."""
    neurons, length = 4096, 12
    rows = torch.zeros(length + 1, neurons)
    rows[0] = torch.randn(neurons)
    ones = torch.ones(neurons)
    steps = Steps(threads)
    for a, b in pairwise(rows):
        at = block(a.data_ptr(), ones.data_ptr(), 0, 0, b.data_ptr(), neurons)
        steps.add(Work(between.gate(PATHS[0]), neurons // 256, 0, 0, False, at))
    steps.close()
    expected = rows[0]
    for _ in range(length):
        expected = silu(expected)
    for _ in range(20):
        rows[1:] = torch.nan
        steps.run(0, length)
        torch.testing.assert_close(rows[-1], expected, rtol=1e-4, atol=1e-5)


def test_part_of_the_steps_can_be_run():
    rows, ones = torch.full((3, 16), 2.0), torch.ones(16)
    steps = Steps(1)
    for a, b in pairwise(rows):
        at = block(a.data_ptr(), ones.data_ptr(), 0, 0, b.data_ptr(), 16)
        steps.add(Work(between.gate(PATHS[0]), 1, 0, 0, False, at))
    steps.close()
    steps.run(1, 2)
    assert rows[1, 0] == 2
    assert rows[2, 0] == pytest.approx(float(silu(torch.tensor(2.0))))
