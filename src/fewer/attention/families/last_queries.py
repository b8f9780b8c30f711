"""What the last queries of a prompt attend to: the estimate behind vertical-slash, FlexPrefill and SnapKV."""

from jaxtyping import Float
from torch import Tensor

from fewer.attention.inputs import Inputs


def last_attention(inputs: Inputs, window: int) -> Float[Tensor, "batch heads window keys"]:
    """Exact attention weights of the last `window` queries, in float32."""
    return inputs.logits(inputs.queries - window).float().softmax(-1)


def along_diagonals(weights: Float[Tensor, "batch heads window keys"]) -> Float[Tensor, "batch heads distances"]:
    """Sums over keys at one distance before their query, for the distances 0 to keys - window: those that all queries have."""
    batch, heads, window, keys = weights.shape
    weights = weights.contiguous()
    steps = (heads * window * keys, window * keys, keys + 1, 1)  # a row on, the key of equal distance is one further
    return weights.as_strided((batch, heads, window, keys - window + 1), steps).sum(2).flip(-1)


def scoring_flops(inputs: Inputs, window: int) -> float:
    """FLOPs of the products behind `last_attention`."""
    return 2.0 * inputs.batch * inputs.heads * min(window, inputs.queries) * inputs.keys * inputs.dim
