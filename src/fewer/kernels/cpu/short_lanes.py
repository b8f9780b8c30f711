"""Vectors of 16-bit numbers: sixteen components beside sixteen half floats, and thirty-two counters at once.

As `lanes`, of which it is a part for search: operands lie at plain addresses, nothing is checked, and the caches of the
kernels beside it must go when this file changes. All but `gather` of `lanes` lowers on every processor.
"""

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core.datamodel import models

from fewer.kernels.cpu.lanes import WIDTH, floats, ints

intrinsic: Any = extending.intrinsic
COUNTERS = 32
"""16-bit counters in a vector."""

_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_SHORTS = ir.VectorType(_SHORT, COUNTERS)


class _Counters(types.Type):
    pass


counters = _Counters(name="uint16x32")


@extending.register_model(_Counters)
class _CountersModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type):
        super().__init__(manager, kind, _SHORTS)


def _load(builder: Any, address: Any, kind: ir.Type, align: int = 1) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def _store(builder: Any, value: Any, address: Any, align: int = 1) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=align)


def _spread(builder: Any, scalar: Any) -> Any:
    nothing = ir.Constant(_SHORTS, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INT, COUNTERS), [0] * COUNTERS))


@intrinsic
def load_shorts(_context, address):
    """Sixteen unsigned 16-bit integers, widened to 32 bits."""

    def generate(_c, builder, _s, arguments):
        return builder.zext(_load(builder, arguments[0], ir.VectorType(_SHORT, WIDTH)), ir.VectorType(_INT, WIDTH))

    return ints(types.int64), generate


@intrinsic
def load_float16(_context, address):
    """Sixteen IEEE half floats, widened to float32."""

    def generate(_c, builder, _s, arguments):
        half = _load(builder, arguments[0], ir.VectorType(ir.HalfType(), WIDTH))
        return builder.fpext(half, ir.VectorType(ir.FloatType(), WIDTH))

    return floats(types.int64), generate


@intrinsic
def load_byte_floats(_context, address):
    """Sixteen unsigned bytes, as float32."""

    def generate(_c, builder, _s, arguments):
        found = _load(builder, arguments[0], ir.VectorType(_BYTE, WIDTH))
        return builder.uitofp(found, ir.VectorType(ir.FloatType(), WIDTH))

    return floats(types.int64), generate


@intrinsic
def number_float16(_context, address):
    """The IEEE half float at an address, as float32."""

    def generate(_c, builder, _s, arguments):
        return builder.fpext(_load(builder, arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.int64), generate


@intrinsic
def bump(_context, address, by):
    """Add `by` to the 16-bit counter at an address."""

    def generate(context, builder, _s, arguments):
        before = _load(builder, arguments[0], _SHORT, align=2)
        _store(builder, builder.add(before, arguments[1]), arguments[0], align=2)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint16), generate


@intrinsic
def raise_all(_context, address, other):
    """The 32 counters at `address` become the larger ones of them and those at `other`. Both 64-byte aligned."""

    def generate(context, builder, _s, arguments):
        mine, theirs = (_load(builder, at, _SHORTS, align=64) for at in arguments)
        larger = builder.select(builder.icmp_unsigned(">", mine, theirs), mine, theirs)
        _store(builder, larger, arguments[0], align=64)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def reached(_context, address, least):
    """Bit i of the result: is counter i of the 32 at `address` at least `least`? 64-byte aligned."""

    def generate(_c, builder, _s, arguments):
        counters = _load(builder, arguments[0], _SHORTS, align=64)
        return builder.bitcast(builder.icmp_unsigned(">=", counters, _spread(builder, arguments[1])), _INT)

    return types.uint32(types.int64, types.uint16), generate


@intrinsic
def clear(_context, address):
    """The 32 counters at `address` become 0. 64-byte aligned."""

    def generate(context, builder, _s, arguments):
        _store(builder, ir.Constant(_SHORTS, [0] * COUNTERS), arguments[0], align=64)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def lowest(_context, bits):
    """Which is the lowest set bit of 32. At least one must be."""

    def generate(_c, builder, _s, arguments):
        return builder.zext(builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1)), _LONG)

    return types.int64(types.uint32), generate


@intrinsic
def put_int(_context, address, value):
    """One 32-bit integer to an address."""

    def generate(context, builder, signature, arguments):
        value = arguments[1]
        _store(builder, builder.trunc(value, _INT) if value.type != _INT else value, arguments[0], align=4)
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def put_byte(_context, address, value):
    """0 or 1 to an address."""

    def generate(context, builder, _s, arguments):
        _store(builder, builder.zext(arguments[1], ir.IntType(8)), arguments[0], align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.boolean), generate


@intrinsic
def put_short(_context, address, value):
    """The lower 16 bits of an integer to an address."""

    def generate(context, builder, signature, arguments):
        value = arguments[1]
        _store(builder, builder.trunc(value, _SHORT) if value.type != _SHORT else value, arguments[0], align=2)
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def put_long(_context, address, value):
    """One 64-bit integer to an address."""

    def generate(context, builder, _s, arguments):
        _store(builder, arguments[1], arguments[0], align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def no_counts(_context):
    """Thirty-two times 0."""
    return counters(), lambda _c, _b, _s, _a: ir.Constant(_SHORTS, [0] * COUNTERS)


@intrinsic
def weighted(_context, sums, address, weight):
    """`sums` plus 32 bytes at `address`, each times the 16-bit number at `weight`."""

    def generate(_c, builder, _s, arguments):
        sums, address, weight = arguments
        codes = builder.zext(_load(builder, address, ir.VectorType(_BYTE, COUNTERS)), _SHORTS)
        return builder.add(sums, builder.mul(codes, _spread(builder, _load(builder, weight, _SHORT, align=2))))

    return counters(counters, types.int64, types.int64), generate


@intrinsic
def put_counts(_context, address, counts):
    """Thirty-two counters to a 64-byte aligned address."""

    def generate(context, builder, _s, arguments):
        _store(builder, arguments[1], arguments[0], align=64)
        return context.get_dummy_value()

    return types.void(types.int64, counters), generate
