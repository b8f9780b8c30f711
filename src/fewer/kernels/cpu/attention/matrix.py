"""AMX: products of 16-bit matrices that the processor keeps in eight tile registers of sixteen rows by 64 bytes.

float32 numbers go through it as sums of bfloat16: two parts hold 16 bits of a number, three hold all 24. A product of three
parts by three leaves out what is below 2^-24: six of nine products. One of three parts by two takes four.
"""

import ctypes
import platform
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types

from fewer.kernels.cpu.lanes import WIDTH, floats, intrinsic

_BYTE, _LONG = ir.IntType(8), ir.IntType(64)
_FLOAT, _INT, _SHORT = ir.FloatType(), ir.IntType(32), ir.IntType(16)
_FLOATS, _INTS, _SHORTS = (ir.VectorType(kind, WIDTH) for kind in (_FLOAT, _INT, _SHORT))
_PERMISSION = (158, 0x1023, 18)  # arch_prctl, ARCH_REQ_XCOMP_PERM, tile data


@cache
def usable() -> bool:
    """Has the processor AMX for bfloat16, and lets Linux this process use it? Asks for the permission."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    if platform.system() != "Linux" or not all(features.get(name) for name in ("amx-tile", "amx-bf16", "avx512bw")):
        return False
    return ctypes.CDLL(None, use_errno=True).syscall(*_PERMISSION) == 0


def _void(builder: Any, name: str, *arguments: Any) -> None:
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [a.type for a in arguments]), name)
    builder.call(function, arguments)


def _register(number: int) -> ir.Constant:
    return ir.Constant(_BYTE, number)


@intrinsic
def configure(_context, shape):
    """Shape the registers as 64 bytes at an address say. Each thread does so before it uses them, and `release` after."""

    def generate(context, builder, _s, arguments):
        _void(builder, "llvm.x86.ldtilecfg", builder.inttoptr(arguments[0], _BYTE.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def release(_context):
    """Empty the registers."""

    def generate(context, builder, _s, _arguments):
        _void(builder, "llvm.x86.tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


def _moving(name: str) -> Any:
    def of(number: int) -> Any:
        @intrinsic
        def move(_context, address, step):
            def generate(context, builder, _s, arguments):
                at = builder.inttoptr(arguments[0], _BYTE.as_pointer())
                _void(builder, name, _register(number), at, arguments[1])
                return context.get_dummy_value()

            return types.void(types.int64, types.int64), generate

        return move

    return of


read_tile = _moving("llvm.x86.tileloadd64")
"""read_tile(number)(address, step): sixteen rows of 64 bytes, `step` bytes apart, into a register."""
write_tile = _moving("llvm.x86.tilestored64")
"""write_tile(number)(address, step): the other way."""


def clear_tile(number: int) -> Any:
    """clear_tile(number)(): zeros."""

    @intrinsic
    def clear(_context):
        def generate(context, builder, _s, _arguments):
            _void(builder, "llvm.x86.tilezero", _register(number))
            return context.get_dummy_value()

        return types.void(), generate

    return clear


def multiply_tiles(into: int, left: int, right: int) -> Any:
    """multiply_tiles(...)(): adds left [16, 32] times right [32, 16]; `right` holds pairs of rows side by side: [16, 16, 2]."""

    @intrinsic
    def multiply(_context):
        def generate(context, builder, _s, _arguments):
            _void(builder, "llvm.x86.tdpbf16ps", _register(into), _register(left), _register(right))
            return context.get_dummy_value()

        return types.void(), generate

    return multiply


@intrinsic
def upper(_context, x):
    """x rounded to the nearest bfloat16, as float32."""

    def generate(_c, builder, _s, arguments):
        bits = builder.add(builder.bitcast(arguments[0], _INTS), ir.Constant(_INTS, [0x8000] * WIDTH))
        return builder.bitcast(builder.and_(bits, ir.Constant(_INTS, [0xFFFF0000] * WIDTH)), _FLOATS)

    return floats(floats), generate


_WORDS = ir.VectorType(_SHORT, 2 * WIDTH)
_UPPER_HALVES = [lane for i in range(WIDTH) for lane in (2 * i + 1, 2 * (i + WIDTH) + 1)]


@intrinsic
def put_pairs(_context, address, first, second):
    """Sixteen pairs of bfloat16 to an address: the upper half of lane i of `first`, then that of `second`."""

    def generate(context, builder, _s, arguments):
        first, second = (builder.bitcast(x, _WORDS) for x in arguments[1:])
        words = builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_INT, len(_UPPER_HALVES)), _UPPER_HALVES))
        builder.store(words, builder.inttoptr(arguments[0], _WORDS.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(types.int64, floats, floats), generate


@intrinsic
def put_halves(_context, address, x):
    """Sixteen bfloat16 to an address; x is already rounded."""

    def generate(context, builder, _s, arguments):
        high = builder.lshr(builder.bitcast(arguments[1], _INTS), ir.Constant(_INTS, [16] * WIDTH))
        builder.store(builder.trunc(high, _SHORTS), builder.inttoptr(arguments[0], _SHORTS.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(types.int64, floats), generate


@intrinsic
def scaled(_context, x, exponent):
    """x times 2 to a whole exponent, 0 where that is too small."""

    def generate(_c, builder, _s, arguments):
        name, mask = "llvm.x86.avx512.mask.scalef.ps.512", ir.IntType(16)
        function = builder.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(_FLOATS, [_FLOATS, _FLOATS, _FLOATS, mask, _INT])
            function = ir.Function(builder.module, kind, name)
        nothing = ir.Constant(_FLOATS, [0.0] * WIDTH)
        return builder.call(function, [*arguments, nothing, ir.Constant(mask, 0xFFFF), ir.Constant(_INT, 4)])

    return floats(floats, floats), generate


def _interleaved(builder: Any, rows: list[Any]) -> list[Any]:
    """Sixteen vectors of sixteen, transposed: in each of four rounds pairs of rows exchange halves of ever larger blocks."""
    for size in (1, 2, 4, 8):
        low = [(i + WIDTH if i & size else i) - (size if i & size else 0) for i in range(WIDTH)]
        high = [(i + WIDTH if i & size else i + size) for i in range(WIDTH)]
        made = list(rows)
        for i in range(WIDTH):
            if not i & size:
                a, b = rows[i], rows[i + size]
                made[i] = builder.shuffle_vector(a, b, ir.Constant(_INTS, low))
                made[i + size] = builder.shuffle_vector(a, b, ir.Constant(_INTS, high))
        rows = made
    return rows


@intrinsic
def transpose(_context, source, step, indices, out, out_step):
    """Sixteen float32 of sixteen rows, transposed. The rows are those that 32-bit `indices` name, `step` bytes each, or, with
    indices = 0, the first sixteen."""

    def generate(context, builder, _s, arguments):
        source, step, indices, out, out_step = arguments
        listed = builder.icmp_signed("!=", indices, ir.Constant(_LONG, 0))
        rows = []
        for i in range(WIDTH):
            there = builder.select(listed, builder.add(indices, ir.Constant(_LONG, 4 * i)), source)
            named = builder.zext(builder.load(builder.inttoptr(there, _INT.as_pointer()), align=4), _LONG)
            row = builder.select(listed, named, ir.Constant(_LONG, i))
            at = builder.add(source, builder.mul(row, step))
            rows.append(builder.load(builder.inttoptr(at, _FLOATS.as_pointer()), align=4))
        for i, column in enumerate(_interleaved(builder, rows)):
            at = builder.add(out, builder.mul(out_step, ir.Constant(_LONG, i)))
            builder.store(column, builder.inttoptr(at, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate
