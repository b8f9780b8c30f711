"""Products of up to three query heads with eight rows of keys, and their sums of rows of values, in registers.

A row is loaded once for all of the heads. As in `lanes`, operands lie at plain addresses and nothing is checked.
"""

from typing import Any

from llvmlite import ir
from numba import extending, types

from fewer.kernels.cpu.attention.tiles import broadcast, call, loop, read, write
from fewer.kernels.cpu.lanes import WIDTH

intrinsic: Any = extending.intrinsic

ROWS = 8
"""Rows of keys in a step."""
CHUNKS = 4
"""Vectors of components that are summed at once."""
MOST = 3
"""Heads at once: beyond that eight rows each have more sums than there are registers."""

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)
_HALVES = ir.VectorType(ir.IntType(16), WIDTH)


def _long(value: int) -> ir.Constant:
    return ir.Constant(_LONG, value)


def _at(builder: Any, base: Any, step: Any, number: Any) -> Any:
    return builder.add(base, builder.mul(step, number))


def _stored(builder: Any, address: Any, half: bool) -> Any:
    """Sixteen float32, or as many bfloat16, whose upper halves they are."""
    if not half:
        return read(builder, address, _FLOATS)
    wide = builder.zext(read(builder, address, _HALVES), _INTS)
    return builder.bitcast(builder.shl(wide, ir.Constant(_INTS, [16] * WIDTH)), _FLOATS)


def _shuffled(builder: Any, a: Any, b: Any, at: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT, len(at)), at))


def _totals(builder: Any, rows: list[Any]) -> Any:
    """The sums of the lanes of eight, side by side: half of the work of eight sums by themselves."""
    low, high = list(range(8)), list(range(8, 16))
    rows = [builder.fadd(_shuffled(builder, r, r, low), _shuffled(builder, r, r, high)) for r in rows]
    even, odd = list(range(0, 16, 2)), list(range(1, 16, 2))
    while len(rows) > 1:  # each round adds neighbours of two rows into one
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [builder.fadd(_shuffled(builder, x, y, even), _shuffled(builder, x, y, odd)) for x, y in pairs]
    return rows[0]


def products(heads: int, half: bool) -> Any:
    """(q, q_step, numbers, k, k_step, chunks, out, out_step): out[h, r] = q[h] . k[numbers[r]].

    Numbers are 64 bits each; steps are in bytes, from head to head and from row to row; a head has so many chunks of 16
    components.
    """

    @intrinsic
    def run(_context, q, q_step, numbers, k, k_step, chunks, out, out_step):
        def generate(context, builder, _s, arguments):
            q, q_step, numbers, k, k_step, chunks, out, out_step = arguments
            rows = [_at(builder, k, k_step, read(builder, builder.add(numbers, _long(8 * r)), _LONG)) for r in range(ROWS)]
            queries = [_at(builder, q, q_step, _long(h)) for h in range(heads)]

            def body(i: Any, sums: list[Any]) -> list[Any]:
                at, of_query = builder.mul(i, _long(32 if half else 64)), builder.mul(i, _long(64))
                keys = [_stored(builder, builder.add(row, at), half) for row in rows]
                for h in range(heads):
                    x = read(builder, builder.add(queries[h], of_query), _FLOATS)
                    for r in range(ROWS):
                        sums[h * ROWS + r] = call(builder, "llvm.fma.v16f32", keys[r], x, sums[h * ROWS + r])
                return sums

            sums = loop(builder, chunks, [ir.Constant(_FLOATS, [0.0] * WIDTH)] * (heads * ROWS), body)
            for h in range(heads):
                write(builder, _totals(builder, sums[h * ROWS : (h + 1) * ROWS]), _at(builder, out, out_step, _long(h)))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), generate

    return run


def sums(heads: int, chunks: int, half: bool) -> Any:
    """(weights, step, numbers, count, v, v_step, shrinks, out, out_step):

    out[h] = shrinks[h] out[h] + the sum over r of weights[h, r] v[numbers[r]], for the first `chunks` vectors; `count` is even.
    """
    together = 2 if heads * chunks < 8 else 1  # as many sums as hide how long one takes

    @intrinsic
    def run(_context, weights, step, numbers, count, v, v_step, shrinks, out, out_step):
        def generate(context, builder, _s, arguments):
            weights, step, numbers, count, v, v_step, shrinks, out, out_step = arguments
            size = 32 if half else 64
            each = heads * chunks

            def body(i: Any, found: list[Any]) -> list[Any]:
                for n in range(together):
                    number = builder.add(builder.mul(i, _long(together)), _long(n))
                    row = _at(builder, v, v_step, read(builder, _at(builder, numbers, _long(8), number), _LONG))
                    values = [_stored(builder, builder.add(row, _long(c * size)), half) for c in range(chunks)]
                    for h in range(heads):
                        there = _at(builder, _at(builder, weights, step, _long(h)), _long(4), number)
                        weight = broadcast(builder, read(builder, there, _FLOAT))
                        for c in range(chunks):
                            place = n * each + h * chunks + c
                            found[place] = call(builder, "llvm.fma.v16f32", values[c], weight, found[place])
                return found

            none = [ir.Constant(_FLOATS, [0.0] * WIDTH)] * (each * together)
            found = loop(builder, builder.sdiv(count, _long(together)), none, body)
            for h in range(heads):
                shrink = broadcast(builder, read(builder, builder.add(shrinks, _long(4 * h)), _FLOAT))
                for c in range(chunks):
                    place = builder.add(_at(builder, out, out_step, _long(h)), _long(64 * c))
                    sum_ = found[h * chunks + c]
                    if together == 2:
                        sum_ = builder.fadd(sum_, found[each + h * chunks + c])
                    write(builder, call(builder, "llvm.fma.v16f32", read(builder, place, _FLOATS), shrink, sum_), place)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9), generate

    return run


products_1, products_2, products_3 = (products(heads, False) for heads in (1, 2, 3))
half_products_1, half_products_2, half_products_3 = (products(heads, True) for heads in (1, 2, 3))
sums_1, sums_2, sums_3 = (sums(heads, CHUNKS, False) for heads in (1, 2, 3))
half_sums_1, half_sums_2, half_sums_3 = (sums(heads, CHUNKS, True) for heads in (1, 2, 3))
rest, half_rest = (sums(1, 1, half) for half in (False, True))
