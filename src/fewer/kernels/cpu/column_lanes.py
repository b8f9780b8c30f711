"""Which of sixteen inputs are large enough, and these side by side: what `columns` needs beside `lanes`.

As `lanes`: operands lie at plain addresses, nothing is checked, and the caches of the kernel must go when this file changes.
"""

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from fewer.kernels.cpu.lanes import WIDTH, floats, ints

intrinsic: Any = extending.intrinsic

_INT, _LONG = ir.IntType(32), ir.IntType(64)
_FLOATS, _INTS = ir.VectorType(ir.FloatType(), WIDTH), ir.VectorType(_INT, WIDTH)
_MASK = ir.VectorType(ir.IntType(1), WIDTH)


def _store(builder: Any, address: Any, value: Any, align: int = 1) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=align)


def _compressed(builder: Any, value: Any, mask: Any, kind: str) -> Any:
    """The lanes whose bit is set, from lane 0 on. AVX-512."""
    vector = ir.FunctionType(value.type, [value.type, value.type, _MASK])
    instruction = cgutils.get_or_insert_function(builder.module, vector, f"llvm.x86.avx512.mask.compress.{kind}")
    return builder.call(instruction, [value, ir.Constant(value.type, [0] * WIDTH), builder.bitcast(mask, _MASK)])


@intrinsic
def beyond(_context, values, thresholds):
    """Bit i: is |values[i]| larger than thresholds[i], or NaN?"""

    def generate(_c, builder, _s, arguments):
        values, thresholds = arguments
        bits = builder.and_(builder.bitcast(values, _INTS), ir.Constant(_INTS, [0x7FFFFFFF] * WIDTH))
        larger = builder.fcmp_unordered(">", builder.bitcast(bits, _FLOATS), thresholds)
        return builder.bitcast(larger, ir.IntType(16))

    return types.uint16(floats, floats), generate


@intrinsic
def numbered(_context, first):
    """first, first + 1, ... in sixteen lanes."""

    def generate(_c, builder, _s, arguments):
        start = builder.insert_element(
            ir.Constant(_INTS, ir.Undefined), builder.trunc(arguments[0], _INT), ir.Constant(_INT, 0)
        )
        spread = builder.shuffle_vector(start, ir.Constant(_INTS, ir.Undefined), ir.Constant(_INTS, [0] * WIDTH))
        return builder.add(spread, ir.Constant(_INTS, list(range(WIDTH))))

    return ints(types.int64), generate


@intrinsic
def gather_kept(_context, address, values, mask):
    """Sixteen lanes to `address`, of which the first are those whose bit of `mask` is set. AVX-512."""

    def generate(context, builder, signature, arguments):
        address, values, mask = arguments
        kind = "v16f32" if signature.args[1] is floats else "v16i32"
        _store(builder, address, _compressed(builder, values, mask, kind))
        return context.get_dummy_value()

    return types.void(types.int64, values, types.uint16), generate


@intrinsic
def room(_context, size):
    """Address of `size` bytes on the stack, gone when the function that asks returns."""

    def generate(_c, builder, _s, arguments):
        space = builder.alloca(ir.IntType(8), size=arguments[0])
        space.align = 64
        return builder.ptrtoint(space, _LONG)

    return types.int64(types.int64), generate
