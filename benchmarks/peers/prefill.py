"""Attention of whole prompts beside dense attention: torch's and ours, interleaved over the same layers' tensors."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fewer.attention.inputs import Inputs
from fewer.kernels import attention_prefill as kernels
from fewer.measure.benchmark import Point
from fewer.measure.latency import interleaved, ratio

Attend = Callable[[Inputs], Tensor]


def torchs(inputs: Inputs) -> Tensor:
    """Torch's causal attention."""
    c = inputs
    return scaled_dot_product_attention(c.q, c.k, c.v, is_causal=True, scale=c.scale, enable_gqa=True)


def ours(inputs: Inputs) -> Tensor:
    """Our dense kernel."""
    return kernels.dense(inputs.q, inputs.k, inputs.v, inputs.scale)


PEERS: dict[str, Attend] = {"torch SDPA": torchs, "our dense kernel": ours}


def points(
    name: str, at: str, calls: Sequence[Inputs], attend: Attend, peers: Sequence[str], repeats: int = 3
) -> Iterator[Point]:
    """`attend` beside each of `peers` (names of PEERS): seconds for all `calls`, one after the other."""

    def layer_by_layer(how: Attend) -> None:
        for inputs in calls:
            how(inputs)

    ways = {"ours": attend} | {peer: PEERS[peer] for peer in peers}
    timed = interleaved({way: partial(layer_by_layer, how) for way, how in ways.items()}, repeats, 1)
    for peer in peers:
        found = ratio(timed[peer], timed["ours"])
        yield Point(name, at, timed["ours"].median, timed[peer].median, peer, found.mean, found.low, found.high)
