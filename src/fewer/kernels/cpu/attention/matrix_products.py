"""Blocks of 32 by 32 of a matrix product by AMX, of factors in parts, with vector work in between.

A product of tiles takes sixteen cycles in which the vector units have nothing to do. So between any two groups of products
pieces of other work are done: `soften` beside products for logits, `look` beside those for outputs.
"""

from numba import njit

from fewer.kernels.cpu.attention.matrix import clear_tile, multiply_tiles, read_tile, write_tile
from fewer.kernels.cpu.attention.matrix_beside import look, soften

SIX, FOUR = 6, 4
"""Groups of products in one step of 32 along the summed axis."""

_read_4, _read_5, _read_6, _read_7 = (read_tile(number) for number in range(4, 8))
_write_0, _write_1, _write_2, _write_3 = (write_tile(number) for number in range(4))
_clear_0, _clear_1, _clear_2, _clear_3 = (clear_tile(number) for number in range(4))
_multiply_0, _multiply_1, _multiply_2, _multiply_3 = (
    multiply_tiles(into, left, right) for into, left, right in ((0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7))
)


@njit
def _left(at, step):
    _read_4(at, step)
    _read_5(at + 16 * step, step)


@njit
def _right(at, step):
    _read_6(at, step)
    _read_7(at + 64, step)


@njit
def _products():
    _multiply_0()
    _multiply_1()
    _multiply_2()
    _multiply_3()


@njit
def _open():
    _clear_0()
    _clear_1()
    _clear_2()
    _clear_3()


@njit
def _close(out, step):
    _write_0(out, step)
    _write_1(out + 64, step)
    _write_2(out + 16 * step, step)
    _write_3(out + 16 * step + 64, step)


@njit
def six_products(left, left_part, left_step, right, right_part, right_step, depth, out, out_step, at, n, a, b, c, d, e):
    """out [32, 32] = left [32, 32 * depth] @ right [32 * depth, 32], each in three parts, `part` bytes apart.

    `soften` does pieces `at` on, n for each of SIX * depth groups.
    """
    _open()
    for step in range(depth):
        x, y = left + 64 * step, right + 16 * right_step * step
        _left(x, left_step)
        _right(y + 2 * right_part, right_step)
        _products()
        soften(at, n, a, b, c, d, e)
        _right(y + right_part, right_step)
        _products()
        soften(at + n, n, a, b, c, d, e)
        _right(y, right_step)
        _products()
        soften(at + 2 * n, n, a, b, c, d, e)
        _left(x + 2 * left_part, left_step)
        _products()
        soften(at + 3 * n, n, a, b, c, d, e)
        _left(x + left_part, left_step)
        _products()
        soften(at + 4 * n, n, a, b, c, d, e)
        _right(y + right_part, right_step)
        _products()
        soften(at + 5 * n, n, a, b, c, d, e)
        at += SIX * n
    _close(out, out_step)


@njit
def four_products(left, left_part, left_step, right, right_part, right_step, depth, out, out_step, at, n, a, b, c):
    """As `six_products`, where `right` has two parts, with FOUR * depth groups; `look` is done beside."""
    _open()
    for step in range(depth):
        x, y = left + 64 * step, right + 16 * right_step * step
        _right(y, right_step)
        _left(x + 2 * left_part, left_step)
        _products()
        look(at, n, a, b, c)
        _left(x + left_part, left_step)
        _products()
        look(at + n, n, a, b, c)
        _left(x, left_step)
        _products()
        look(at + 2 * n, n, a, b, c)
        _right(y + right_part, right_step)
        _products()
        look(at + 3 * n, n, a, b, c)
        at += FOUR * n
    _close(out, out_step)
