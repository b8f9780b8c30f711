"""FlexAttention with our key sets, uncompiled on the CPU. There its mask_mod alone counts: block lists are checked apart."""

import pytest
import torch
from torch.nn.functional import pad

from fewer.errors import KernelError
from fewer.kernels import attention_reference as reference
from fewer.kernels import flex
from fewer.kernels.block_lists import BlockLists

pytestmark = pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile")
FIRST = [None, torch.tensor([0, 13])]


def operands(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, h, n, 16, generator=generator, dtype=torch.float64) for h in (4, 2, 2)]


def blocks_of(cells, side):
    """Which blocks hold any of the cells, and which all of those that exist."""
    rows, columns = cells.shape[2:]
    grid = lambda x, beyond: (  # noqa: E731
        pad(x, (0, -columns % side, 0, -rows % side), value=beyond).unflatten(3, (-1, side)).unflatten(2, (-1, side))
    )
    return grid(cells, False).any(5).any(3), grid(cells, True).all(5).all(3)


def listed(counts, indices):
    flags = torch.arange(indices.shape[-1]) < counts[..., None]
    return torch.zeros_like(flags).scatter_(-1, indices.long(), flags)


def holds_the_cells(mask, cells, side):
    """Every needed block is listed, none without need, and only full ones as full."""
    some, whole = blocks_of(cells, side)
    part = listed(mask.kv_num_blocks, mask.kv_indices)
    full = listed(mask.full_kv_num_blocks, mask.full_kv_indices)
    return torch.equal(part | full, some) and not (part & full).any() and not (full & ~whole).any()


def cells_of(attention, q, keys):
    """Which keys a function of v attends to: the weights of each are its output for a v of unit vectors."""
    unit = torch.eye(keys, dtype=q.dtype).expand(2, 2, -1, -1)
    return attention(unit) > 0


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize(("n", "block", "step", "side"), [(131, 8, 2, 16), (131, 8, 2, 32), (100, 16, 4, 16), (50, 32, 2, 16)])
def test_the_set_of_anchor_attention(n, block, step, side, first):
    q, k, v = operands(n)
    columns = reference.anchor_columns(q, k, 1.0, block, step, first=first)
    mask = flex.anchor_mask(columns, block, step, first, side)
    torch.testing.assert_close(flex.attend(q, k, v, mask), reference.stripes(q, k, v, columns, block, step, first=first))
    cells = cells_of(lambda unit: reference.stripes(q, k, unit, columns, block, step, first=first), q, n)
    assert holds_the_cells(mask, cells, side)
    if columns.any():
        fewer = flex.anchor_mask(torch.zeros_like(columns), block, step, first, side)
        assert (flex.attend(q, k, v, fewer) - flex.attend(q, k, v, mask)).abs().max() > 1e-3


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 4)])
def test_the_set_of_kept_blocks(shape, causal, first):
    q, k, v = operands(70)
    kept = torch.rand(*shape, 5, 5, generator=torch.Generator().manual_seed(3)) < 0.5
    mask = flex.blocks_mask(BlockLists.of(kept, 16, causal), q, k, causal, first)
    wanted = reference.blocks(q, k, v, kept, 16, causal, first=first)
    torch.testing.assert_close(flex.attend(q, k, v, mask), wanted)
    cells = cells_of(lambda unit: reference.blocks(q, k, unit, kept, 16, causal, first=first), q, 70)
    full = listed(mask.full_kv_num_blocks, mask.full_kv_indices)
    assert not (full & ~blocks_of(cells, 16)[1]).any()
    assert (listed(mask.kv_num_blocks, mask.kv_indices) | full).logical_or(~blocks_of(cells, 16)[0]).all()


@pytest.mark.parametrize("lists", [(), (2,), (4,)])
def test_the_set_of_listed_keys(lists):
    q, k, v = operands(90)
    q = q[:, :, :1]
    indices = torch.rand(2, *lists, 90, generator=torch.Generator().manual_seed(4)).argsort(-1)[..., :20]
    indices[1, ..., :3] = -1
    mask = flex.gathered_mask(indices, q, k, 16)
    torch.testing.assert_close(flex.attend(q, k, v, mask)[:, :, 0], reference.gathered(q[:, :, 0], k, v, indices))
    assert holds_the_cells(mask, cells_of(lambda unit: reference.gathered(q[:, :, 0], k, unit, indices)[:, :, None], q, 90), 16)


def test_block_lists_name_the_kept_blocks_in_order_and_none_after_the_diagonal():
    mask = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1]]).bool()[None, None]
    lists = BlockLists.of(mask, 16)
    assert lists.counts.tolist() == [[[2, 2, 2]]]
    assert lists.indices[0, 0, :, :2].tolist() == [[0, 1], [1, 2], [0, 2]]
    assert BlockLists.of(mask, 16, causal=True).counts.tolist() == [[[1, 1, 2]]]
    with pytest.raises(KernelError, match=r"the mask is \(1, 1, 3, 2\) of torch.bool .* causal=True; give bool .*square"):
        BlockLists.of(mask[..., :2], 16, causal=True)
