"""What the Seismic kernel needs beside `lanes`: components of a row's last entries, and writing single numbers."""

from typing import Any

from llvmlite import ir
from numba import extending, types

from fewer.kernels.cpu.lanes import WIDTH, ints

intrinsic: Any = extending.intrinsic
_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_INTS = ir.VectorType(_INT, WIDTH)


def _components(wide: ir.Type) -> Any:
    def generate(_c: Any, builder: Any, _s: Any, arguments: Any) -> Any:
        address, count, filler = arguments
        found = builder.load(builder.inttoptr(address, ir.VectorType(wide, WIDTH).as_pointer()), align=1)
        if wide is not _INT:
            found = builder.zext(found, _INTS)
        nothing, first = ir.Constant(_INTS, ir.Undefined), ir.Constant(_INT, 0)
        everywhere = ir.Constant(_INTS, [0] * WIDTH)
        counts, fillers = (
            builder.shuffle_vector(
                builder.insert_element(nothing, builder.trunc(one, _INT), first), ir.Constant(_INTS, ir.Undefined), everywhere
            )
            for one in (count, filler)
        )
        return builder.select(builder.icmp_signed("<", ir.Constant(_INTS, list(range(WIDTH))), counts), found, fillers)

    return generate


@intrinsic
def shorts_until(_context, address, count, filler):
    """Sixteen unsigned 16-bit integers, widened; from lane `count` on, `filler`."""
    return ints(types.int64, types.int64, types.int64), _components(_SHORT)


@intrinsic
def ints_until(_context, address, count, filler):
    """Sixteen 32-bit integers; from lane `count` on, `filler`."""
    return ints(types.int64, types.int64, types.int64), _components(_INT)


def _writer(kind: types.Type, bits: ir.Type) -> Any:
    @intrinsic
    def write(_context, address, value):
        def generate(context, builder, _s, arguments):
            builder.store(arguments[1], builder.inttoptr(arguments[0], bits.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, kind), generate

    return write


put_byte = _writer(types.uint8, _BYTE)
"""One byte to an address."""
put_place = _writer(types.int32, _INT)
"""One 32-bit integer to an address."""
put_word = _writer(types.int64, _LONG)
"""One 64-bit integer to an address."""


@intrinsic
def bits_of(_context, value):
    """The bits of a float32 as a 64-bit integer: for floats from 0 on, they rise together."""

    def generate(_c, builder, _s, arguments):
        return builder.zext(builder.bitcast(arguments[0], _INT), _LONG)

    return types.int64(types.float32), generate


@intrinsic
def float_of(_context, bits):
    """The float32 of the lower 32 bits."""

    def generate(_c, builder, _s, arguments):
        return builder.bitcast(builder.trunc(arguments[0], _INT), ir.FloatType())

    return types.float32(types.int64), generate
