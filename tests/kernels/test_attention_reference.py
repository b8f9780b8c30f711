"""The references of sparse attention: with everything kept they are torch's own; what they leave out is checked by hand."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fewer.kernels import attention_reference as reference

EVERYTHING = float("inf")


def operands(n, heads=4, kv_heads=2, dim=16, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    make = lambda h: torch.randn(2, h, n, dim, generator=generator, dtype=torch.float64).to(dtype)  # noqa: E731
    return make(heads), make(kv_heads), make(kv_heads)


@pytest.mark.parametrize("n", [1, 7, 64, 100])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_with_everything_kept_it_is_torchs_attention(n, kv_heads):
    q, k, v = operands(n, kv_heads=kv_heads)
    causal = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    free = scaled_dot_product_attention(q, k, v, enable_gqa=True)
    all_blocks = torch.ones(1, 1, -(-n // 8), -(-n // 8), dtype=torch.bool)
    torch.testing.assert_close(reference.anchor(q, k, v, EVERYTHING, block=8, step=2), causal)
    torch.testing.assert_close(reference.blocks(q, k, v, all_blocks, 8, causal=True), causal)
    torch.testing.assert_close(reference.blocks(q, k, v, all_blocks, 8), free)
    torch.testing.assert_close(reference.gathered(q[:, :, -1], k, v, torch.arange(n).expand(2, -1)), causal[:, :, -1])


def test_with_nothing_in_reach_anchor_attends_to_the_first_block_and_the_neighbourhood():
    """Blocks of 2, groups of 4: query 9 is in the third group, which begins at 8."""
    q, k, v = operands(12)
    out = reference.anchor(q, k, v, -EVERYTHING, block=2, step=2)
    near = [0, 1, 6, 7, 8, 9]
    wanted = scaled_dot_product_attention(q[:, :, 9:10], k[:, :, near], v[:, :, near], enable_gqa=True)
    torch.testing.assert_close(out[:, :, 9:10], wanted)


def test_a_column_is_kept_when_the_mean_query_of_any_block_comes_near_the_mean_anchor():
    """One head of one component. Group 2 (queries 4 and 5, blocks of one) sees keys 0, 3 and itself; 1 and 2 lie between."""
    q = torch.tensor([0.0, 0, 0, 0, 1, -2], dtype=torch.float64).view(1, 1, 6, 1)
    k = torch.tensor([0.0, 3, -1, 0, 4, 0], dtype=torch.float64).view(1, 1, 6, 1)
    # Query 4: anchor 4 (itself); keys 1 and 2 give 3 and -1. Query 5: anchor 0; they give -6 and 2.
    for theta, wanted in ((-3.0, []), (0.0, [2]), (0.9, [2]), (1.0, [1, 2])):
        kept = reference.anchor_columns(q, k, theta, block=1, step=2, scale=1.0)
        assert kept[0, 0, 2].nonzero().flatten().tolist() == wanted
    # As sums: query 4 has ln(e^0 + e^0 + e^4) = 4.0360, query 5 ln(1 + 1 + e^-8 + 1) = 1.0987.
    for theta, wanted in ((-0.91, []), (-0.90, [2]), (1.03, [2]), (1.04, [1, 2])):
        kept = reference.anchor_columns(q, k, theta, block=1, step=2, scale=1.0, by="sum")
        assert kept[0, 0, 2].nonzero().flatten().tolist() == wanted
    assert not reference.anchor_columns(q, k, EVERYTHING, block=1, step=2)[0, 0, 0].any()


def test_padding_on_the_left_changes_nothing():
    q, k, v = operands(40)
    first = torch.tensor([0, 11])
    padded = reference.anchor(q, k, v, 1.0, block=4, step=2, first=first)
    alone = reference.anchor(q[1:, :, 11:], k[1:, :, 11:], v[1:, :, 11:], 1.0, block=4, step=2)
    torch.testing.assert_close(padded[1:, :, 11:], alone)
    assert not padded[1, :, :11].any()


def test_theta_may_differ_between_heads():
    q, k, v = operands(64)
    out = reference.anchor(q, k, v, torch.tensor([EVERYTHING, 0.0, 1.0, -EVERYTHING]), block=4, step=2)
    for head, theta in enumerate((EVERYTHING, 0.0, 1.0, -EVERYTHING)):
        torch.testing.assert_close(out[:, head], reference.anchor(q, k, v, theta, block=4, step=2)[:, head])


def test_lists_of_keys_are_for_all_heads_or_those_of_keys_or_each():
    q, k, v = operands(30)
    for heads in (2, 4):
        lists = torch.rand(2, heads, 30, generator=torch.Generator().manual_seed(1)).argsort(-1)[..., :5]
        lists[1, 0, 3:] = -1
        out = reference.gathered(q[:, :, 0], k, v, lists)
        for head in range(4):
            mine = lists[1, head * heads // 4]
            mine = mine[mine >= 0]
            wanted = scaled_dot_product_attention(q[1, head, :1], k[1, head // 2, mine], v[1, head // 2, mine])
            torch.testing.assert_close(out[1, head], wanted[0])


def test_a_query_without_keys_gets_zeros():
    q, k, v = operands(16)
    mask = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    mask[0, 0, 0, 0] = True
    out = reference.blocks(q, k, v, mask, 8)
    assert out[:, :, :8].all() and not out[:, :, 8:].any()
    assert not reference.gathered(q[:, :, 0], k, v, torch.full((2, 3), -1)).any()


def test_columns_are_all_inputs_or_the_large_ones_and_a_low_rank_copy_of_the_others():
    x, weight = torch.tensor([[1.0, -3, 0.5]]), torch.tensor([[1.0], [10], [100]])
    assert reference.columns(x, weight, -1).item() == 21
    assert reference.columns(x, weight, 0.75).item() == -29
    assert reference.columns(x, weight, 1).item() == -30
    assert reference.columns(x, weight, torch.tensor([0.0, 4, 0])).item() == 51
    assert reference.columns(x, weight, 1, torch.eye(3), weight).item() == 21
    assert reference.columns(torch.tensor([[torch.nan]]), torch.ones(1, 1), 1).isnan()
