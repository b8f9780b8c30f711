"""Sums and peaks over lanes, and whole numbers that are ordered as floats are: what decoding needs beside `lanes`.

As `lanes`: operands lie at plain addresses, nothing is checked, and the caches of the kernels must go when this file changes.
"""

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from fewer.kernels.cpu.lanes import WIDTH, floats, ints

intrinsic: Any = extending.intrinsic
LEAST = -(2**31)
"""Below every number that `ordered` makes of a finite float."""

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)


def _ints(values: Any) -> ir.Constant:
    return ir.Constant(_INTS, list(values))


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


@intrinsic
def peak(_context, a):
    """The largest lane."""

    def generate(_c, builder, _s, arguments):
        kind = ir.FunctionType(_FLOAT, [_FLOATS])
        reduce = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fmax.v16f32")
        return builder.call(reduce, arguments, fastmath=["nnan"])

    return types.float32(floats), generate


@intrinsic
def prefetch_far(_context, address):
    """Ask for the cache line at an address, to the second cache: the first has too little room for what is used later."""

    def generate(context, builder, _s, arguments):
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _INT, _INT, _INT])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(ask, [builder.inttoptr(arguments[0], byte), *(ir.Constant(_INT, n) for n in (0, 2, 1))])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def ordered(_context, value):
    """Sixteen floats as integers of the same order."""

    def generate(_c, builder, _s, arguments):
        bits = builder.bitcast(arguments[0], _INTS)
        negative = builder.ashr(bits, _ints([31] * WIDTH))
        return builder.xor(bits, builder.and_(negative, _ints([0x7FFFFFFF] * WIDTH)))

    return ints(floats), generate


@intrinsic
def ordered_one(_context, value):
    """As `ordered`, of one."""

    def generate(_c, builder, _s, arguments):
        bits = builder.bitcast(arguments[0], _INT)
        negative = builder.ashr(bits, ir.Constant(_INT, 31))
        return builder.xor(bits, builder.and_(negative, ir.Constant(_INT, 0x7FFFFFFF)))

    return types.int32(types.float32), generate


@intrinsic
def store_ints(_context, address, value):
    """Sixteen 32-bit integers to `address`."""

    def generate(context, builder, _s, arguments):
        _store(builder, arguments[1], arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64, ints), generate


@intrinsic
def at_least(_context, address, least):
    """Bit i: is integer i of the sixteen at `address` at least `least`?"""

    def generate(_c, builder, _s, arguments):
        address, least = arguments
        there = builder.load(builder.inttoptr(address, _INTS.as_pointer()), align=4)
        first = builder.insert_element(ir.Constant(_INTS, ir.Undefined), least, ir.Constant(_INT, 0))
        spread = builder.shuffle_vector(first, ir.Constant(_INTS, ir.Undefined), _ints([0] * WIDTH))
        return builder.bitcast(builder.icmp_signed(">=", there, spread), ir.IntType(16))

    return types.uint16(types.int64, types.int32), generate
