"""Inner products of stored sparse vectors with one query that lies dense in memory.

A stored vector is some lines; a line is 16 components, then their 16 values. Components are 16 or 32 bits wide; values are
half floats, floats or bytes. Padding points at the entry behind the query's last, which is 0.

A search kernel takes `vector` or `plain` as an argument and is compiled with both: see `impact`.
"""

from numba import njit

from fewer.kernels.cpu.lanes import byte, code, fma, gather, load, load_ints, mask, number, prefetch, total, zeros
from fewer.kernels.cpu.short_lanes import load_byte_floats, load_float16, load_shorts, number_float16

LANES = 16
COMPONENT_BYTES = {"uint16": 2, "uint32": 4}
VALUE_BYTES = {"float16": 2, "float32": 4, "uint8": 1}
FORMATS = {(c, v): number for number, (c, v) in enumerate((c, v) for c in COMPONENT_BYTES for v in VALUE_BYTES)}
"""Number of each pair of component and value type, as the kernels know it."""


def line_bytes(components: str, values: str) -> int:
    """Bytes of a line: 64 for 16-bit components and half floats."""
    return LANES * (COMPONENT_BYTES[components] + VALUE_BYTES[values])


@njit
def vector(form, first, last, query):
    """Sum of query[component] * value over the lines from address `first` up to `last`. AVX-512."""
    sums = zeros()
    if form == 0:
        for line in range(first, last, 64):
            sums = fma(gather(query, load_shorts(line)), load_float16(line + 32), sums)
    elif form == 1:
        for line in range(first, last, 96):
            sums = fma(gather(query, load_shorts(line)), load(line + 32), sums)
    elif form == 2:
        for line in range(first, last, 48):
            sums = fma(gather(query, load_shorts(line)), load_byte_floats(line + 32), sums)
    elif form == 3:
        for line in range(first, last, 96):
            sums = fma(gather(query, load_ints(line)), load_float16(line + 64), sums)
    elif form == 4:
        for line in range(first, last, 128):
            sums = fma(gather(query, load_ints(line)), load(line + 64), sums)
    else:
        for line in range(first, last, 80):
            sums = fma(gather(query, load_ints(line)), load_byte_floats(line + 64), sums)
    return total(sums)


@njit
def plain(form, first, last, query):
    """As `vector`, an entry at a time."""
    wide = 4 if form >= 3 else 2
    kind = form - 3 if form >= 3 else form
    size = 2 if kind == 0 else (4 if kind == 1 else 1)
    found = number(query) * 0
    for line in range(first, last, 16 * (wide + size)):
        for lane in range(16):
            at = line + wide * lane
            component = int(code(at)) if wide == 4 else int(mask(at))
            value = line + 16 * wide + size * lane
            if kind == 0:
                found += number(query + 4 * component) * number_float16(value)
            elif kind == 1:
                found += number(query + 4 * component) * number(value)
            else:
                found += number(query + 4 * component) * byte(value)
    return found


@njit
def fetch(first, last):
    """Ask for the cache lines of a stored vector before it is needed."""
    for line in range(first, last, 64):
        prefetch(line)
