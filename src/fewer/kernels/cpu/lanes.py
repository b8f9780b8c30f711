"""Sixteen float32 lanes as a numba type, and the vector instructions that LLVM does not find by itself.

Inside a compiled function a kernel then reads as it is thought: `total = fma(expand(load(a), mask), load(b), total)`.
Operands lie at plain addresses (int64, in bytes). Nothing here checks anything.

The generic operations lower on every target; `permute` is AVX-512's own. Numba does not notice when this file changes under
a cached kernel that calls it: delete the `__pycache__` folders beside the kernels then.
"""

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.datamodel import models

intrinsic: Any = extending.intrinsic
WIDTH = 16

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)
_MASK = ir.VectorType(ir.IntType(1), WIDTH)


class _Lanes(types.Type):
    pass


floats = _Lanes(name="float32x16")
ints = _Lanes(name="int32x16")


@extending.register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type):
        super().__init__(manager, kind, _FLOATS if kind.name.startswith("float") else _INTS)


def _function(builder: Any, name: str, result: ir.Type, *arguments: ir.Type) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _at(builder: Any, address: Any, kind: ir.Type) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _load(builder: Any, address: Any, kind: ir.Type) -> Any:
    return builder.load(_at(builder, address, kind), align=1)


def _widened(builder: Any, address: Any) -> Any:
    """Sixteen bfloat16 as float32, whose upper halves they are."""
    half = _load(builder, address, ir.VectorType(ir.IntType(16), WIDTH))
    return builder.bitcast(builder.shl(builder.zext(half, _INTS), _constant(_INTS, [16] * WIDTH)), _FLOATS)


def _constant(kind: ir.VectorType, lanes: Any) -> Any:
    return ir.Constant(kind, list(lanes))


def _spread(builder: Any, scalar: Any, kind: ir.VectorType) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), _constant(_INTS, [0] * WIDTH))


@intrinsic
def zeros(_context):
    """Sixteen times 0."""
    return floats(), lambda _c, _b, _s, _a: _constant(_FLOATS, [0.0] * WIDTH)


@intrinsic
def no_columns(_context):
    """Sixteen times the integer 0."""
    return ints(), lambda _c, _b, _s, _a: _constant(_INTS, [0] * WIDTH)


@intrinsic
def load(_context, address):
    """Sixteen float32."""
    return floats(types.int64), lambda _c, b, _s, a: _load(b, a[0], _FLOATS)


@intrinsic
def load_half(_context, address):
    """Sixteen bfloat16, widened: they are the upper halves of float32."""
    return floats(types.int64), lambda _c, b, _s, a: _widened(b, a[0])


@intrinsic
def load_bytes(_context, address):
    """Sixteen unsigned bytes, widened to integers."""

    def generate(_c, builder, _s, arguments):
        return builder.zext(_load(builder, arguments[0], ir.VectorType(ir.IntType(8), WIDTH)), _INTS)

    return ints(types.int64), generate


@intrinsic
def spread(_context, address):
    """The float32 at an address, in all lanes."""
    return floats(types.int64), lambda _c, b, _s, a: _spread(b, _load(b, a[0], _FLOAT), _FLOATS)


@intrinsic
def fill(_context, value):
    """One float32 in all lanes."""
    return floats(types.float32), lambda _c, b, _s, a: _spread(b, a[0], _FLOATS)


@intrinsic
def fma(_context, a, b, c):
    """a * b + c."""

    def generate(_c, builder, _s, arguments):
        return builder.call(_function(builder, "llvm.fma.v16f32", _FLOATS, _FLOATS, _FLOATS, _FLOATS), arguments)

    return floats(floats, floats, floats), generate


@intrinsic
def add(_context, a, b):
    """a + b, of floats or of integers."""

    def generate(_c, builder, signature, arguments):
        return (builder.fadd if signature.args[0] is floats else builder.add)(*arguments)

    return a(a, b), generate


@intrinsic
def divided(_context, a, b):
    """a / b."""
    return floats(floats, floats), lambda _c, builder, _s, arguments: builder.fdiv(*arguments)


@intrinsic
def total(_context, a):
    """Sum of the lanes, in a tree."""

    def generate(_c, builder, _s, arguments):
        reduce = _function(builder, "llvm.vector.reduce.fadd.v16f32", _FLOAT, _FLOAT, _FLOATS)
        return builder.call(reduce, [ir.Constant(_FLOAT, 0.0), arguments[0]], fastmath=["reassoc"])

    return types.float32(floats), generate


@intrinsic
def expand(_context, address, mask):
    """The next float32 at `address`, one for each set bit of the 16-bit `mask`, in those lanes; 0 in the others.

    Sixteen are read whatever the mask is, so the data must go on for 64 bytes: a load and an expansion in registers
    are as fast everywhere, while an expanding load is microcode on some processors.
    """
    return floats(types.int64, types.uint16), _expansion(lambda builder, address: _load(builder, address, _FLOATS))


@intrinsic
def expand_half(_context, address, mask):
    """As `expand`, of bfloat16."""
    return floats(types.int64, types.uint16), _expansion(_widened)


def _expansion(read: Any) -> Any:
    def generate(_c, builder, _s, arguments):
        address, mask = arguments
        lanes = builder.bitcast(mask, _MASK)
        instruction = _function(builder, "llvm.x86.avx512.mask.expand.v16f32", _FLOATS, _FLOATS, _FLOATS, _MASK)
        return builder.call(instruction, [read(builder, address), _constant(_FLOATS, [0.0] * WIDTH), lanes])

    return generate


@intrinsic
def places(_context, code):
    """Lane i of 16 gets 4 * (i // 2) + (bits 2i and 2i+1 of `code`): where the kept two of every four inputs are."""

    def generate(_c, builder, _s, arguments):
        shifted = builder.lshr(_spread(builder, arguments[0], _INTS), _constant(_INTS, (2 * i for i in range(WIDTH))))
        group = _constant(_INTS, (4 * (i // 2) for i in range(WIDTH)))
        return builder.or_(builder.and_(shifted, _constant(_INTS, [3] * WIDTH)), group)

    return ints(types.uint32), generate


@intrinsic
def permute(_context, low, at, high):
    """Lanes of the 32 in (low, high) by index. AVX-512."""

    def generate(_c, builder, _s, arguments):
        return builder.call(
            _function(builder, "llvm.x86.avx512.vpermi2var.ps.512", _FLOATS, _FLOATS, _INTS, _FLOATS), arguments
        )

    return floats(floats, ints, floats), generate


@intrinsic
def gather(_context, address, at):
    """float32 number at[i] after `address` in lane i. AVX-512."""

    def generate(_c, builder, _s, arguments):
        address, at = arguments
        byte = ir.IntType(8).as_pointer()
        name = "llvm.x86.avx512.mask.gather.dps.512"
        instruction = _function(builder, name, _FLOATS, _FLOATS, byte, _INTS, _MASK, _INT)
        nothing, all_lanes = _constant(_FLOATS, [0.0] * WIDTH), _constant(_MASK, [1] * WIDTH)
        return builder.call(instruction, [nothing, builder.inttoptr(address, byte), at, all_lanes, ir.Constant(_INT, 4)])

    return floats(types.int64, ints), generate


@intrinsic
def store(_context, address, value):
    """Sixteen float32 to `address`."""

    def generate(context, builder, _s, arguments):
        builder.store(arguments[1], _at(builder, arguments[0], _FLOATS), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, floats), generate


@intrinsic
def scatter(_context, address, at, value):
    """Lane i to float32 number at[i] after `address`, unless at[i] is negative. AVX-512."""

    def generate(context, builder, _s, arguments):
        address, at, value = arguments
        byte = ir.IntType(8).as_pointer()
        name = "llvm.x86.avx512.mask.scatter.dps.512"
        instruction = _function(builder, name, ir.VoidType(), byte, _MASK, _INTS, _FLOATS, _INT)
        there = builder.icmp_signed(">=", at, _constant(_INTS, [0] * WIDTH))
        builder.call(instruction, [builder.inttoptr(address, byte), there, at, value, ir.Constant(_INT, 4)])
        return context.get_dummy_value()

    return types.void(types.int64, ints, floats), generate


@intrinsic
def load_ints(_context, address):
    """Sixteen 32-bit integers."""
    return ints(types.int64), lambda _c, b, _s, a: _load(b, a[0], _INTS)


def _scalar(kind: types.Type, bits: ir.Type) -> Any:
    @intrinsic
    def read(_context, address):
        return kind(types.int64), lambda _c, b, _s, a: _load(b, a[0], bits)

    return read


word = _scalar(types.int64, ir.IntType(64))
"""The 64-bit integer at an address."""
code = _scalar(types.uint32, ir.IntType(32))
"""The 32-bit unsigned integer at an address."""
mask = _scalar(types.uint16, ir.IntType(16))
"""The 16-bit unsigned integer at an address."""
byte = _scalar(types.uint8, ir.IntType(8))
"""The 8-bit unsigned integer at an address."""
place = _scalar(types.int32, _INT)
"""The 32-bit signed integer at an address."""
number = _scalar(types.float32, _FLOAT)
"""The float32 at an address."""


@intrinsic
def number_half(_context, address):
    """The bfloat16 at an address, as float32."""

    def generate(_c, builder, _s, arguments):
        half = builder.zext(_load(builder, arguments[0], ir.IntType(16)), _INT)
        return builder.bitcast(builder.shl(half, ir.Constant(_INT, 16)), _FLOAT)

    return types.float32(types.int64), generate


@intrinsic
def ones(_context, value):
    """How many bits of a mask are set."""

    def generate(_c, builder, _s, arguments):
        return builder.zext(builder.ctpop(arguments[0]), ir.IntType(64))

    return types.int64(value), generate


@intrinsic
def claim(_context, address, count):
    """Add `count` to the 64-bit integer at `address`, in one step for all threads; returns what it was."""

    def generate(_c, builder, _s, arguments):
        pointer = _at(builder, arguments[0], ir.IntType(64))
        return builder.atomic_rmw("add", pointer, arguments[1], "monotonic")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def put(_context, address, value):
    """One float32 to an address."""

    def generate(context, builder, _s, arguments):
        builder.store(arguments[1], _at(builder, arguments[0], _FLOAT), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


@intrinsic
def prefetch(_context, address):
    """Ask for the cache line at an address."""

    def generate(context, builder, _s, arguments):
        byte = ir.IntType(8).as_pointer()
        ask = _function(builder, "llvm.prefetch.p0", ir.VoidType(), byte, _INT, _INT, _INT)
        builder.call(ask, [builder.inttoptr(arguments[0], byte), *(ir.Constant(_INT, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.int64), generate
