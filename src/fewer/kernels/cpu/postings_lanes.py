"""Comparing 64 sums at once. As `lanes`, of which it is a part; it lowers on every processor."""

from typing import Any

from llvmlite import ir
from numba import extending, types

intrinsic: Any = extending.intrinsic
GROUP = 64
"""Sums that are compared at once."""
_FLOATS = ir.VectorType(ir.FloatType(), GROUP)
_LONG = ir.IntType(64)
_ALIGN = 64


@intrinsic
def at_least(_context, address, least):
    """Bit i of the result: is float32 i of the 64 at `address`, 64-byte aligned, `least` or more?"""

    def generate(_c, builder, _s, arguments):
        address, least = arguments
        sums = builder.load(builder.inttoptr(address, _FLOATS.as_pointer()), align=_ALIGN)
        nothing = ir.Constant(_FLOATS, ir.Undefined)
        first = builder.insert_element(nothing, least, ir.Constant(ir.IntType(32), 0))
        bar = builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), GROUP), [0] * GROUP))
        return builder.bitcast(builder.fcmp_ordered(">=", sums, bar), _LONG)

    return types.uint64(types.int64, types.float32), generate


@intrinsic
def wipe(_context, address):
    """The 64 float32 at `address`, 64-byte aligned, become 0."""

    def generate(context, builder, _s, arguments):
        pointer = builder.inttoptr(arguments[0], _FLOATS.as_pointer())
        builder.store(ir.Constant(_FLOATS, [0.0] * GROUP), pointer, align=_ALIGN)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def lowest_of_64(_context, bits):
    """Which is the lowest set bit. At least one must be."""

    def generate(_c, builder, _s, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def ones_of_64(_context, bits):
    """How many bits are set."""

    def generate(_c, builder, _s, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate
