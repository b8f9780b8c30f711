"""Work of the vector units that is done beside products of the matrix unit, in small pieces."""

from numba import njit

from fewer.kernels.cpu.attention.matrix import put_pairs, scaled, upper
from fewer.kernels.cpu.attention.softmax import CHUNK
from fewer.kernels.cpu.attention.tiles import QUERIES, ROW, larger, nearest, polynomial, subtract
from fewer.kernels.cpu.lanes import add, load, store


@njit
def weight(x):
    """2 to the x."""
    whole = nearest(x)
    return scaled(polynomial(subtract(x, whole)), whole)


@njit
def soften(at, n, pieces, logits, top, total, weights):
    """Logits become weights in two parts, packed in pairs of keys. Piece k is keys 2 * (k // 4) and the next, for queries of
    part k % 4. Totals are those of the weights as they are packed: an error of a weight is so one of its share alone.
    """
    second = 2 * QUERIES * CHUNK
    for k in range(at, min(at + n, pieces)):
        part, row = k % 4 * 64, k // 4
        most = load(top + part)
        a = weight(subtract(load(logits + 2 * ROW * row + part), most))
        b = weight(subtract(load(logits + 2 * ROW * row + ROW + part), most))
        x, y = upper(a), upper(b)
        a, b = upper(subtract(a, x)), upper(subtract(b, y))
        put_pairs(weights + ROW * row + part, x, y)
        put_pairs(weights + second + ROW * row + part, a, b)
        store(total + part, add(load(total + part), add(add(x, a), add(y, b))))


@njit
def look(at, n, rows, logits, tops):
    """Largest logits: piece k is eight rows, k // 4 on, of the queries of part k % 4."""
    for k in range(at, min(at + n, rows // 2)):
        part = k % 4 * 64
        first = logits + k // 4 * 8 * ROW + part
        found = load(tops + part)
        for row in range(8):
            found = larger(found, load(first + row * ROW))
        store(tops + part, found)
