"""One token through a decoder as a list of kernels, which run in one call.

Between the products of a layer transformers takes some forty steps in Python and torch; on a small model they cost nearly
as much as its products. Here they are a few kernels, and nothing but a spin of a thread lies between one and the next.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewer.decoding.products import PADDING, Product, products
from fewer.decoding.shape import Layer, Shape
from fewer.kernels.attention_decode import LOG2_E, side_by_side
from fewer.kernels.cpu import between
from fewer.kernels.cpu.attention import decode
from fewer.kernels.cpu.steps import Steps
from fewer.kernels.cpu.team import UNITS, Work
from fewer.kernels.dispatch import cpu_path

Attend = Callable[[int, Float[Tensor, "1 heads 1 dim"]], Float[Tensor, "1 1 heads dim"]]
"""Attention of a layer, by number, to what is cached; None stands for attention to all of it."""


class Plan:
    """Kernels, operands and room for one token. Addresses are fixed: the modules it was made of must not change.

    Raises:
        ModelError: a linear layer that is no kernel's (`products`).
    """

    def __init__(self, base: Any, shape: Shape, threads: int):
        self._shape, self._path = shape, cpu_path()
        self._kept: list[Any] = []  # what addresses point to
        self._steps = Steps(threads)
        self._position = np.zeros(1, np.int64)
        heads, dim, count = shape.heads, shape.dim, len(shape.layers)
        self._x, self._normed, self._attended = self._room(shape.hidden), self._room(shape.hidden), self._room(heads * dim)
        self._made = self._room(shape.neurons)
        self._cos, self._sin = self._room(dim), self._room(dim)
        self._turns = np.zeros((count, between.AT // 8 + 1), np.int64)
        self._calls = np.zeros((count, decode.SCALE // 8 + 1), np.int64)
        self._joins = np.zeros(count, np.int64)
        self._partial = self._room(heads * 4 * threads * (dim + 2))
        self._queries: list[Tensor] = []
        self._attention: list[tuple[int, int]] = []
        self._bound: list[int] = []
        added: tuple[Tensor, Tensor | None] | None = None
        for number, layer in enumerate(shape.layers):
            self._norm(layer.before, added)
            added = self._layer(number, layer)
        self._norm(base.norm, added)
        self._steps.close()

    def token(
        self,
        x: Float[Tensor, "1 1 hidden"],
        angles: tuple[Float[Tensor, "1 1 dim"], Float[Tensor, "1 1 dim"]],
        cached: Sequence[Any],
        attend: Attend | None,
    ) -> Float[Tensor, "1 1 hidden"]:
        """The decoder's result for one embedded token, after its last norm.

        Args:
            angles: cosines and sines of its position.
            cached: the layers of a cache, with room for the token written already at the end of `keys` and `values`.
            attend: by layer; None for attention to all that is cached.
        """
        self._x.copy_(x.view(-1))
        self._cos.copy_(angles[0].view(-1))
        self._sin.copy_(angles[1].view(-1))
        self._bind(cached)
        steps = self._steps
        if attend is None:
            steps.run(0, len(steps))
        else:
            done = 0
            for number, (first, end) in enumerate(self._attention):
                steps.run(done, first)
                self._attended.copy_(attend(number, self._queries[number]).view(-1))
                done = end
            steps.run(done, len(steps))
        return self._normed.clone().view(1, 1, -1)

    def _layer(self, number: int, layer: Layer) -> tuple[Tensor, Tensor | None]:
        """Steps of a layer behind its first norm; returns what is to be added to the residual, with its bias."""
        shape, attention, mlp = self._shape, layer.attention, layer.mlp
        names = ("q_proj", "k_proj", "v_proj")
        q, k, v = self._multiply([getattr(attention, name) for name in names], names, self._normed)
        self._turn(number, attention, (q, k, v))
        first = len(self._steps)
        self._attend(number, attention.scaling, q)
        self._attention.append((first, len(self._steps)))
        (o,) = self._multiply([attention.o_proj], ["o_proj"], self._attended)
        self._norm(layer.between, (o, attention.o_proj.bias))
        gate, up = self._multiply([mlp.gate_proj, mlp.up_proj], ["gate_proj", "up_proj"], self._normed)
        biases = [self._at(mlp.gate_proj.bias), self._at(mlp.up_proj.bias)]
        block = self._block(gate.data_ptr(), up.data_ptr(), *biases, self._made.data_ptr(), shape.neurons)
        self._add(between.gate(self._path), -(-shape.neurons // between.PIECE), block)
        (down,) = self._multiply([mlp.down_proj], ["down_proj"], self._made)
        return down, mlp.down_proj.bias

    def _multiply(self, layers: Sequence[nn.Module], names: Sequence[str], x: Tensor) -> list[Tensor]:
        """Products of one vector; where each layer's results will be."""
        found: dict[int, Tensor] = {}
        made: list[Product] = products(names, layers)
        for product in made:
            out = self._room(product.rows)
            self._steps.add(product.work, x.data_ptr(), out.data_ptr(), waits=product is made[-1])
            self._kept.append(product)
            found |= {layer: out[at:] for layer, at in product.places.items()}
        return [found[layer] for layer in range(len(layers))]

    def _norm(self, norm: Any, added: tuple[Tensor, Tensor | None] | None) -> None:
        y, bias = (0, 0) if added is None else (added[0].data_ptr(), self._at(added[1]))
        epsilon = int(np.float32(norm.variance_epsilon).view(np.uint32))
        at = self._x.data_ptr(), self._at(norm.weight), self._normed.data_ptr()
        self._add(between.norm(self._path), 1, self._block(y, bias, *at, self._shape.hidden, epsilon))

    def _turn(self, number: int, attention: Any, results: tuple[Tensor, Tensor, Tensor]) -> None:
        shape, biases = self._shape, [self._at(getattr(attention, f"{x}_proj").bias) for x in "qkv"]
        row = self._turns[number]
        where = [x.data_ptr() for x in results] + biases + [self._cos.data_ptr(), self._sin.data_ptr()]
        sizes = [shape.heads, shape.kv_heads, shape.dim]
        row[: len(where) + len(sizes)] = where + sizes
        row[between.AT // 8] = self._position.ctypes.data
        self._add(between.turn(self._path), shape.heads + 2 * shape.kv_heads, row.ctypes.data)

    def _attend(self, number: int, scale: float, q: Tensor) -> None:
        shape, row = self._shape, self._calls[number]
        heads, kv_heads, dim = shape.heads, shape.kv_heads, shape.dim
        self._queries.append(q[: heads * dim].view(1, heads, 1, dim))
        together = heads // kv_heads
        for field, value in (
            (decode.Q, q.data_ptr()),
            (decode.OUT, self._attended.data_ptr()),
            (decode.PARTIAL, self._partial.data_ptr()),
            (decode.Q_HEAD, 4 * dim),
            (decode.HEADS, heads),
            (decode.TOGETHER, together),
            (decode.SHARE, together),
            (decode.DIM, dim),
            (decode.SCALE, int(np.float32(scale * LOG2_E).view(np.uint32))),
        ):
            row[field // 8] = value
        self._add(getattr(decode, self._path)(), kv_heads, row.ctypes.data)
        self._joins[number] = self._add(between.join(self._path), 1, row.ctypes.data, heads)

    def _bind(self, cached: Sequence[Any]) -> None:
        """Point the kernels at a cache, which may have moved, and at its last token."""
        addresses = [layer.keys.data_ptr() for layer in cached]
        if addresses != self._bound:
            for number, layer in enumerate(cached):
                for tensor, base, head, step, turned in (
                    (layer.keys, decode.K, decode.K_HEAD, decode.K_STEP, between.K_CACHE),
                    (layer.values, decode.V, decode.V_HEAD, decode.V_STEP, between.V_CACHE),
                ):
                    of_head, of_token = (4 * stride for stride in tensor.stride()[1:3])
                    self._calls[number][[base // 8, head // 8, step // 8]] = tensor.data_ptr(), of_head, of_token
                    self._turns[number][turned // 8] = tensor.data_ptr()
                    first = (between.K_HEAD if turned == between.K_CACHE else between.V_HEAD) // 8
                    self._turns[number][first : first + 2] = of_head, of_token
                # what lies side by side is visited together: the kernel reads a token's row once
                self._calls[number][decode.VISITED // 8 : decode.ROW_AT // 8 + 1] = side_by_side(layer.keys, layer.values)
            self._bound, self._calls[:, decode.PARTS // 8] = addresses, 0
        tokens = cached[0].keys.shape[2]
        self._position[0] = tokens - 1
        self._calls[:, [decode.KEYS // 8, decode.LENGTH // 8]] = tokens
        visited = int(self._calls[0, decode.VISITED // 8])
        groups = self._shape.kv_heads // visited
        most = -(-4 * self._steps.threads // groups)
        parts = 1 if self._steps.threads == 1 else max(1, min(tokens * visited // decode.SHORTEST, most))
        if parts != self._calls[0, decode.PARTS // 8]:
            self._calls[:, decode.PARTS // 8] = parts
            self._steps.jobs[self._joins - 1, UNITS // 8] = groups * parts
            self._steps.jobs[self._joins, UNITS // 8] = int(parts > 1)

    def _at(self, tensor: Tensor | None) -> int:
        """Where a parameter lies; 0 for none."""
        if tensor is None:
            return 0
        self._kept.append(tensor.detach())
        return tensor.data_ptr()

    def _room(self, size: int) -> Tensor:
        """Zeros; what pads an input stays zero."""
        made = torch.zeros(size + -size % PADDING)
        self._kept.append(made)
        return made[:size]

    def _block(self, *numbers: int) -> int:
        """Address of a block of integers."""
        made = np.array(numbers, np.int64)
        self._kept.append(made)
        return int(made.ctypes.data)

    def _add(self, kernel: Any, units: int, *operands: int) -> int:
        return self._steps.add(Work(kernel, units, 0, 0, False, *operands))
