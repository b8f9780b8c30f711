"""What the families share beyond a method of attention: one budget that is a share, and a price of the estimator."""

from dataclasses import dataclass
from typing import Literal, Self

from fewer.attention.inputs import Inputs
from fewer.attention.method import SparseAttention

When = Literal["always", "prefill", "decode"]


@dataclass(frozen=True)
class Family(SparseAttention):
    """A method whose size can be set by one number, so that families can be compared at equal density."""

    def with_share(self, share: float, keys: int) -> Self:
        """Itself with a budget of about `share` of `keys`; what that comes to in cells, `KeySet.density` says."""
        raise NotImplementedError

    def scoring_flops(self, inputs: Inputs) -> float:
        """FLOPs (two a multiply-add) of the products that `measured` takes, over all heads and sequences."""
        raise NotImplementedError


def in_phase(when: When, inputs: Inputs) -> bool:
    """Is this a call that a method for `when` works in? A prompt begins where nothing is cached before it."""
    return inputs.causal and (when == "always" or (inputs.before == 0) == (when == "prefill"))
