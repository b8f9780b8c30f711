"""What a method reads of a text that dense attention has seen whole: in one call, or token by token at the end of it."""

from dataclasses import replace
from typing import NamedTuple

from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention


class Call(NamedTuple):
    """One call of attention, and the keys that it reads."""

    inputs: Inputs
    keys: KeySet


class Reader:
    """A method that is shown the layers of a model in order.

    Args:
        method: of prompts, which reads the text in one call, or of decoding, which reads the last `steps` tokens one by one.
    """

    def __init__(self, method: SparseAttention, steps: int):
        self.method = method
        self._steps = [Memory() for _ in range(steps)]  # one for each token: some carry keys from layer to layer

    def calls(self, inputs: Inputs) -> list[Call]:
        """The calls of the next layer, whose inputs are of the whole text."""
        if self.method.stage == "prefill":
            return [Call(inputs, self.method.attended(inputs, Memory()))]
        found, first = [], inputs.queries - len(self._steps)
        left = Memory()  # what the prompt leaves behind in this layer
        self.method.attended(_part(inputs, 0, first), left)
        for token, memory in enumerate(self._steps, first):
            memory.update(left)
            step = _part(inputs, token, token + 1)
            found.append(Call(step, self.method.attended(step, memory)))
        return found


def _part(inputs: Inputs, start: int, stop: int) -> Inputs:
    """Queries from `start` up to `stop`, with all keys that stand before `stop`."""
    return replace(inputs, q=inputs.q[:, :, start:stop], k=inputs.k[:, :, :stop], v=inputs.v[:, :, :stop])
