"""The two products of attention, by tiles that stay in registers, and the exponential between them.

A tile is `QUERIES` queries of one head. Its logits lie key by key, [keys, QUERIES] float32, so that both products broadcast one
number and multiply it with vectors: a key's component with queries, a query's weight with a value's components. Keys and values
are rows at a base address, some bytes apart, named by 32-bit indices. As `lanes`: plain addresses, nothing is checked, and the
caches of the kernels beside it must go when this file changes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types

from fewer.kernels.cpu.lanes import WIDTH, add, fill, floats, intrinsic, load, store, zeros

QUERIES = 64
ROW = 4 * QUERIES
"""Bytes of one key's logits."""
NOTHING = -1e30
"""The logit of a cell that is not kept."""

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)
# 2^x on [-1/2, 1/2] to 7.5e-8 of its value: fitted so that the relative error is level
_POWERS = (
    1.000000071654604,
    0.6931469670622858,
    0.24022119724099497,
    0.05550713277540132,
    0.009675541324027493,
    0.0013276470685805084,
)


def _long(value: int) -> ir.Constant:
    return ir.Constant(_LONG, value)


def _all(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * WIDTH)


def _offset(builder: Any, address: Any, by: Any) -> Any:
    return builder.add(address, by if isinstance(by, ir.Value) else _long(by))


def read(builder: Any, address: Any, kind: Any, align: int = 4) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def write(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=4)


def call(builder: Any, name: str, *arguments: Any) -> Any:
    kind = arguments[0].type
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(kind, [a.type for a in arguments]), name)
    return builder.call(function, arguments)


def broadcast(builder: Any, scalar: Any) -> Any:
    nothing = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * WIDTH))


def loop(builder: Any, count: Any, carried: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """carried = body(i, carried) for i in range(count), at least once; what is carried stays in registers."""
    before = builder.block
    inside, after = builder.append_basic_block("inside"), builder.append_basic_block("after")
    builder.branch(inside)
    builder.position_at_end(inside)
    i = builder.phi(_LONG)
    i.add_incoming(_long(0), before)
    values = [builder.phi(value.type) for value in carried]
    for phi, value in zip(values, carried, strict=True):
        phi.add_incoming(value, before)
    made = body(i, list(values))
    following = builder.add(i, _long(1))
    last = builder.block
    i.add_incoming(following, last)
    for phi, value in zip(values, made, strict=True):
        phi.add_incoming(value, last)
    builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
    builder.position_at_end(after)
    return made


def _tile(builder: Any, count: Any, rows: int, groups: int, scalar: Any, vector: Any) -> list[Any]:
    """Sum over i < count of scalar(i, r) * vector(i, g), for rows r and groups g of 16 lanes: [r * groups + g]."""

    def body(i: Any, sums: list[Any]) -> list[Any]:
        vectors = [vector(i, g) for g in range(groups)]
        for r in range(rows):
            one = broadcast(builder, scalar(i, r))
            for g in range(groups):
                sums[r * groups + g] = call(builder, "llvm.fma.v16f32", one, vectors[g], sums[r * groups + g])
        return sums

    return loop(builder, count, [_all(0.0)] * (rows * groups), body)


def _row(builder: Any, base: Any, step: Any, indices: Any, place: Any) -> Any:
    """Address of the row that entry `place` of the 32-bit `indices` names."""
    at = read(builder, _offset(builder, indices, builder.mul(place, _long(4))), _INT)
    return builder.add(base, builder.mul(builder.zext(at, _LONG), step))


def products(rows: int, groups: int) -> Any:
    """(keys, step, indices, dim, queries, out): logits of `rows` keys with 16 * groups queries of a tile [dim, QUERIES]."""

    @intrinsic
    def multiply(_context, keys, step, indices, dim, queries, out):
        def generate(context, builder, _s, arguments):
            keys, step, indices, dim, queries, out = arguments
            starts = [_row(builder, keys, step, indices, _long(r)) for r in range(rows)]
            found = _tile(
                builder,
                dim,
                rows,
                groups,
                lambda i, r: read(builder, builder.add(starts[r], builder.mul(i, _long(4))), _FLOAT),
                lambda i, g: read(builder, _offset(builder, builder.add(queries, builder.mul(i, _long(ROW))), 64 * g), _FLOATS),
            )
            for r in range(rows):
                for g in range(groups):
                    write(builder, found[r * groups + g], _offset(builder, out, ROW * r + 64 * g))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return multiply


def sums(rows: int, groups: int) -> Any:
    """(values, step, indices, count, weights, out, out_step): adds to `rows` queries' outputs their weighted sum of `count`
    values, 16 * groups components of it. `weights` is [count, QUERIES].
    """

    @intrinsic
    def combine(_context, values, step, indices, count, weights, out, out_step):
        def generate(context, builder, _s, arguments):
            values, step, indices, count, weights, out, out_step = arguments
            starts: dict[Any, Any] = {}

            def vector(i: Any, g: int) -> Any:
                if i not in starts:
                    starts[i] = _row(builder, values, step, indices, i)
                return read(builder, _offset(builder, starts[i], 64 * g), _FLOATS)

            def scalar(i: Any, r: int) -> Any:
                return read(builder, _offset(builder, builder.add(weights, builder.mul(i, _long(ROW))), 4 * r), _FLOAT)

            found = _tile(builder, count, rows, groups, scalar, vector)
            for r in range(rows):
                at = builder.add(out, builder.mul(out_step, _long(r)))
                for g in range(groups):
                    # sums of one chunk are added as a whole: carried over all keys they would lose digits
                    there = _offset(builder, at, 64 * g)
                    write(builder, builder.fadd(found[r * groups + g], read(builder, there, _FLOATS)), there)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return combine


@intrinsic
def polynomial(_context, x):
    """2 to the x, for x in [-1/2, 1/2]."""

    def generate(_c, builder, _s, arguments):
        found = _all(_POWERS[-1])
        for coefficient in reversed(_POWERS[:-1]):
            found = call(builder, "llvm.fma.v16f32", found, arguments[0], _all(coefficient))
        return found

    return floats(floats), generate


@intrinsic
def nearest(_context, x):
    """The nearest whole number."""
    return floats(floats), lambda _c, builder, _s, arguments: call(builder, "llvm.rint.v16f32", arguments[0])


@intrinsic
def _doubled(_context, x, exponent):
    """x times 2 to a whole exponent of -126 to 127, for x near 1."""

    def generate(_c, builder, _s, arguments):
        shifted = builder.shl(builder.fptosi(arguments[1], _INTS), ir.Constant(_INTS, [23] * WIDTH))
        return builder.bitcast(builder.add(builder.bitcast(arguments[0], _INTS), shifted), _FLOATS)

    return floats(floats, floats), generate


@njit
def power(x):
    """2 to the x, for x up to 127. What is below -64 counts as -64: as a weight, that vanishes beside the largest, which is 1,
    and smaller ones would make denormal products, which are slow. NaN stays NaN.
    """
    x = larger(fill(np.float32(-64)), x)
    whole = nearest(x)
    return _doubled(polynomial(subtract(x, whole)), whole)


@intrinsic
def larger(_context, a, b):
    """The larger of each lane; b where either is NaN."""

    def generate(_c, builder, _s, arguments):
        a, b = arguments
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return floats(floats, floats), generate


@intrinsic
def subtract(_context, a, b):
    """a - b."""
    return floats(floats, floats), lambda _c, builder, _s, arguments: builder.fsub(*arguments)


@intrinsic
def times(_context, a, b):
    """a * b."""
    return floats(floats, floats), lambda _c, builder, _s, arguments: builder.fmul(*arguments)


@intrinsic
def where(_context, bits, a, b):
    """Lane i of a where bit i of the 16-bit `bits` is set, else of b."""

    def generate(_c, builder, _s, arguments):
        lanes = builder.bitcast(arguments[0], ir.VectorType(ir.IntType(1), WIDTH))
        return builder.select(lanes, arguments[1], arguments[2])

    return floats(types.uint16, floats, floats), generate


@intrinsic
def exceeds(_context, a, b):
    """Bit i: is lane i of a at least that of b?"""

    def generate(_c, builder, _s, arguments):
        return builder.bitcast(builder.fcmp_ordered(">=", *arguments), ir.IntType(16))

    return types.uint16(floats, floats), generate


@njit
def soften(logits, count, top, totals):
    """Logits become weights 2^(logit - top), in place; each query's are added to its total."""
    a, b, c, d = zeros(), zeros(), zeros(), zeros()
    p, q, r, s = load(top), load(top + 64), load(top + 128), load(top + 192)
    for at in range(logits, logits + ROW * count, ROW):
        w = power(subtract(load(at), p))
        x = power(subtract(load(at + 64), q))
        y = power(subtract(load(at + 128), r))
        z = power(subtract(load(at + 192), s))
        store(at, w)
        store(at + 64, x)
        store(at + 128, y)
        store(at + 192, z)
        a, b, c, d = add(a, w), add(b, x), add(c, y), add(d, z)
    store(totals, add(load(totals), a))
    store(totals + 64, add(load(totals + 64), b))
    store(totals + 128, add(load(totals + 128), c))
    store(totals + 192, add(load(totals + 192), d))
