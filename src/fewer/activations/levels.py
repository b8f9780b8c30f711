"""The distribution of scores that a calibration has seen: a histogram fine enough to read any threshold from."""

from functools import cached_property

import torch
from torch import Tensor

from fewer.errors import CalibrationError

_BINS = 2**16
_SHIFT = 13  # bits of a float32 that a bin does not see: a bin is 0.1% wide
_LOWEST = (127 - 40) << (23 - _SHIFT)  # scores below 2^-40 share the first bin, those above 2^24 the last


class Levels:
    """Counts of non-negative scores, by the upper bits of their floating-point form."""

    def __init__(self, name: str):
        self.name = name
        self._counts = torch.zeros(_BINS, dtype=torch.long)

    def update(self, scores: Tensor) -> None:
        """Add scores of any shape. Raises CalibrationError for NaN and infinity."""
        if not bool(scores.sum(dtype=torch.float64).isfinite()):
            raise CalibrationError(
                f"the inputs of {self.name} are NaN or infinite in the calibration data; no layer was changed. "
                "Look for them in the data or the model's weights."
            )
        bits = scores.float().contiguous().view(torch.int32) >> _SHIFT
        bins = (bits.flatten().long() - _LOWEST).clamp_(0, _BINS - 1)
        self._counts += torch.bincount(bins, minlength=_BINS).cpu()
        vars(self).pop("_below", None)

    @cached_property
    def _below(self) -> Tensor:
        """Scores in a bin and all before it."""
        return self._counts.cumsum(0).double()

    def threshold(self, share: float) -> float:
        """The value that a share of all scores does not exceed: 0 for a share of 0, the end of the last bin for all.

        Right to 0.1% of the value; linear within a bin.
        """
        total = int(self._below[-1])
        if not total:
            raise CalibrationError(f"the calibration data never reached {self.name}. Exclude it, or give other data.")
        if share <= 0:
            return 0.0
        wanted = share * total
        at = min(int(torch.searchsorted(self._below, wanted)), _BINS - 1)
        inside = (wanted - float(self._below[at] - self._counts[at])) / max(float(self._counts[at]), 1.0)
        low = 0.0 if at == 0 else _value(at)
        return low + min(inside, 1.0) * (_value(at + 1) - low)


def _value(number: int) -> float:
    """Where a bin begins."""
    return float(torch.tensor((number + _LOWEST) << _SHIFT, dtype=torch.int32).view(torch.float32))
