import time

import pytest
import torch
from torch import nn

from fewer.measure import held_bytes, memory, peak_memory

MIB = 2**20


@pytest.fixture(params=["kernel", "sampled"])
def source(request, monkeypatch):
    if request.param == "sampled":
        monkeypatch.setattr(memory, "_CLEAR", memory._CLEAR.parent / "no such file")
    elif not memory._CLEAR.exists():
        pytest.skip("this system has no high-water mark that can be reset")
    return request.param


def fill(mib):
    block = torch.ones(mib * MIB // 4)
    time.sleep(0.02)  # for the thread that samples
    return block


def test_a_peak_is_seen_after_its_memory_was_freed(source):
    with peak_memory() as peak:
        fill(64)
    assert peak.source == source
    assert 62 * MIB < peak.bytes < 70 * MIB


def test_an_earlier_higher_peak_does_not_count(source):
    fill(128)
    with peak_memory() as peak:
        fill(16)
    assert 14 * MIB < peak.bytes < 24 * MIB


def test_an_inner_block_does_not_hide_the_outer_blocks_peak(source):
    with peak_memory() as outer:
        fill(64)
        with peak_memory() as inner:
            fill(16)
    assert outer.bytes > 62 * MIB
    assert inner.bytes < 24 * MIB


def test_the_peak_is_there_also_when_the_block_raises(source):
    with pytest.raises(ValueError), peak_memory() as peak:
        fill(32)
        raise ValueError
    assert peak.bytes > 30 * MIB
    assert memory._KernelGauge.open == []


def test_tied_and_viewed_storages_are_held_once():
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    assert held_bytes(model) == 2 * 256
    model[1].weight = model[0].weight
    assert held_bytes(model) == 256
    model.register_buffer("top", model[0].weight.detach()[:4])
    assert held_bytes(model) == 256
    model.register_buffer("count", torch.zeros(3, dtype=torch.int16))
    assert held_bytes(model) == 262


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_tensors_hold_their_parts_and_meta_tensors_nothing():
    model = nn.Module()
    model.register_buffer("meta", torch.zeros(1000, device="meta"))
    assert held_bytes(model) == 0
    offsets, columns = torch.arange(5), torch.arange(4)
    model.register_buffer("csr", torch.sparse_csr_tensor(offsets, columns, torch.ones(4), (4, 4)))
    assert held_bytes(model) == 5 * 8 + 4 * 8 + 4 * 4
    model.register_buffer("coo", torch.eye(4).to_sparse_coo())
    assert held_bytes(model) == 88 + 2 * 4 * 8 + 4 * 4
