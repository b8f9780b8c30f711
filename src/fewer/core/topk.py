"""Keep the largest of each row: exact counts, ties to the lowest index, as fast as the machine partitions."""

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

CHUNK = 1 << 18  # groups of a few members handled at once, so that the comparisons stay in cache
SMALL = 8  # up to this many members, comparing every pair beats any partition


def keep_largest(rows: Tensor, count: int | Int[Tensor, " rows"]) -> Bool[Tensor, "rows members"]:
    """Mask of the `count` largest members of each row.

    Args:
        rows: [rows, members], finite. bfloat16 and float16 are compared as float32.
        count: one count for all rows, or one for each; in 0..members.

    Ties go to the lowest index, so the same scores always give the same mask.
    """
    if isinstance(count, Tensor):
        if len(count) and bool((count == count[0]).all()):
            count = int(count[0])
        else:
            return _ragged(rows, count)
    members = rows.shape[1]
    if count <= 0 or count >= members:
        return torch.full(rows.shape, count > 0, dtype=torch.bool, device=rows.device)
    if rows.dtype in (torch.bfloat16, torch.float16):
        rows = rows.float()
    if members <= SMALL:
        return _by_pairs(rows, count)
    threshold = _kth_largest(rows, count)
    mask = rows >= threshold
    surplus = mask.sum(1) - count
    tied = surplus.nonzero().flatten()
    if len(tied):
        mask[tied] = _first_of_equals(rows[tied], threshold[tied], count)
    return mask


def _kth_largest(rows: Tensor, count: int) -> Tensor:
    members = rows.shape[1]
    if rows.device.type == "cpu" and rows.is_floating_point():
        # numpy partitions with vector instructions: about four times the speed of torch.topk here.
        place = members - count
        threshold = rows.new_empty(len(rows), 1)
        step = max(1, CHUNK * 2 // members)  # rows whose copy stays in cache
        for start in range(0, len(rows), step):
            part = rows[start : start + step].detach().numpy()
            threshold[start : start + step, 0] = torch.from_numpy(np.partition(part, place, axis=1)[:, place])
        return threshold
    return rows.kthvalue(members - count + 1, dim=1, keepdim=True).values


def _first_of_equals(rows: Tensor, threshold: Tensor, count: int) -> Tensor:
    above, equal = rows > threshold, rows == threshold
    room = count - above.sum(1, keepdim=True)
    return above | (equal & (equal.cumsum(1) <= room))


def _by_pairs(rows: Tensor, count: int) -> Tensor:
    """Rank by counting who beats whom; an earlier member wins a tie."""
    groups, members = rows.shape
    kept = torch.empty(groups, members, dtype=torch.bool, device=rows.device)
    for start in range(0, groups, CHUNK):
        columns = rows[start : start + CHUNK].t().contiguous()
        # Member i is beaten by all later ones, less those that it beats; a later one by every earlier that is not smaller.
        beaten_by = [torch.full_like(columns[0], members - 1 - i, dtype=torch.int8) for i in range(members)]
        for i in range(members):
            for j in range(i + 1, members):
                first_wins = (columns[i] >= columns[j]).view(torch.int8)
                beaten_by[i] -= first_wins
                beaten_by[j] += first_wins
        kept[start : start + CHUNK] = torch.stack(beaten_by, 1) < count
    return kept


def _ragged(rows: Tensor, counts: Tensor) -> Tensor:
    order = rows.sort(dim=1, descending=True, stable=True).indices
    rank_kept = torch.arange(rows.shape[1], device=rows.device) < counts.to(rows.device)[:, None]
    return torch.zeros(rows.shape, dtype=torch.bool, device=rows.device).scatter_(1, order, rank_kept)
