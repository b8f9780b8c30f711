"""The k best of what is offered: a heap in memory whose root is the worst. 8 bytes an entry: score, document."""

from numba import njit

from fewer.kernels.cpu.lanes import number, place, put
from fewer.kernels.cpu.short_lanes import put_int


@njit
def worse(score, document, than_score, than_document):
    """Order of results: higher scores first, of equal ones the lower document."""
    return score < than_score or (score == than_score and document > than_document)


@njit
def _set(entry, score, document):
    put(entry, score)
    put_int(entry + 4, document)


@njit
def _sink(heap, held, score, document):
    """Put an entry in place of the root, then let it sink below all that are worse."""
    at = 0
    while True:
        below = 2 * at + 1
        if below >= held:
            break
        left = heap + 8 * below
        if below + 1 < held and worse(number(left + 8), place(left + 12), number(left), place(left + 4)):
            below += 1
            left += 8
        if not worse(number(left), place(left + 4), score, document):
            break
        _set(heap + 8 * at, number(left), place(left + 4))
        at = below
    _set(heap + 8 * at, score, document)


@njit
def offer(heap, held, k, score, document):
    """Take a document in, if it is among the k best so far. Returns how many are held."""
    if held == k:
        if worse(number(heap), place(heap + 4), score, document):
            _sink(heap, held, score, document)
        return held
    at = held
    while at > 0:
        above = (at - 1) >> 1
        entry = heap + 8 * above
        if not worse(score, document, number(entry), place(entry + 4)):
            break
        _set(heap + 8 * at, number(entry), place(entry + 4))
        at = above
    _set(heap + 8 * at, score, document)
    return held + 1


@njit
def settle(heap, held):
    """Sort the heap: best first. It is no heap any more."""
    for left in range(held - 1, 0, -1):
        score, document = number(heap + 8 * left), place(heap + 8 * left + 4)
        worst_score, worst = number(heap), place(heap + 4)
        _sink(heap, left, score, document)
        _set(heap + 8 * left, worst_score, worst)
