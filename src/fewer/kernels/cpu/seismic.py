"""Search in a Seismic index, one thread: lists, summaries, blocks, documents.

All a search needs is named by one job, an array of 64-bit integers (`FIELDS`), most of them addresses. A document is
"seen" by a bit; those not to be found are marked before the search begins and stay so.
"""

import numpy as np
from numba import cfunc, njit, types

from fewer.kernels.cpu.forward import fetch, plain, vector
from fewer.kernels.cpu.lanes import (
    byte,
    code,
    fill,
    fma,
    gather,
    load_ints,
    mask,
    number,
    place,
    prefetch,
    put,
    total,
    word,
    zeros,
)
from fewer.kernels.cpu.seismic_blocks import BY_BLOCK, scramble
from fewer.kernels.cpu.seismic_lanes import (
    bits_of,
    float_of,
    ints_until,
    put_byte,
    put_place,
    put_word,
    shorts_until,
)
from fewer.kernels.cpu.short_lanes import load_byte_floats, load_shorts

KERNEL = types.void(types.int64)
FIELDS = (
    "queries",
    "query_starts",
    "query_components",
    "query_values",
    "hit_documents",
    "hit_scores",
    "hit_scored",
    "k",
    "query_cut",
    "heap_factor",
    "n_knn",
    "first_sorted",
    "random_until",
    "seed",
    "dimension",
    "list_blocks",
    "block_starts",
    "postings",
    "summary_rows",
    "summary_labels",
    "summary_starts",
    "summary_columns",
    "summary_codes",
    "summary_scales",
    "wide",
    "forward_starts",
    "forward_lines",
    "line",
    "form",
    "unit",
    "neighbours",
    "nknn",
    "dense",
    "seen",
    "estimates",
    "queue",
    "scored",
    "chosen",
)
"""A job's entries. `heap_factor` and `unit` are float32 bits; `wide` says that components take 32 bits; the last six are
scratch: dense query, seen bits, estimates, the blocks to open, documents scored, the lists chosen."""
(
    QUERIES,
    QUERY_STARTS,
    QUERY_COMPONENTS,
    QUERY_VALUES,
    HIT_DOCUMENTS,
    HIT_SCORES,
    HIT_SCORED,
    K,
    QUERY_CUT,
    HEAP_FACTOR,
    N_KNN,
    FIRST_SORTED,
    RANDOM_UNTIL,
    SEED,
    DIMENSION,
    LIST_BLOCKS,
    BLOCK_STARTS,
    POSTINGS,
    SUMMARY_ROWS,
    SUMMARY_LABELS,
    SUMMARY_STARTS,
    SUMMARY_COLUMNS,
    SUMMARY_CODES,
    SUMMARY_SCALES,
    WIDE,
    FORWARD_STARTS,
    FORWARD_LINES,
    LINE,
    FORM,
    UNIT,
    NEIGHBOURS,
    NKNN,
    DENSE,
    SEEN,
    ESTIMATES,
    QUEUE,
    SCORED,
    CHOSEN,
) = range(0, 8 * len(FIELDS), 8)
_UPPER = np.uint64(33)
_inlined = njit(forceinline=True)  # a function handed over as an argument must not outlive compilation, or nothing is cached
AHEAD = 8
"""Documents whose lines are asked for before they are scored."""


@njit
def promise(job, row, block):
    """Inner product of the whole query with a block's summary. AVX-512."""
    first = np.int64(code(word(job + SUMMARY_STARTS) + 4 * row))
    last = np.int64(code(word(job + SUMMARY_STARTS) + 4 * row + 4))
    scales = word(job + SUMMARY_SCALES) + 8 * block
    low, step = fill(number(scales)), fill(number(scales + 4))
    codes, components, query = word(job + SUMMARY_CODES), word(job + SUMMARY_COLUMNS), word(job + DENSE)
    sums = zeros()
    whole = last - (last - first) % 16
    if word(job + WIDE):
        for entry in range(first, whole, 16):
            weights = gather(query, load_ints(components + 4 * entry))
            sums = fma(weights, fma(load_byte_floats(codes + entry), step, low), sums)
        if whole < last:
            weights = gather(query, ints_until(components + 4 * whole, last - whole, word(job + DIMENSION)))
            sums = fma(weights, fma(load_byte_floats(codes + whole), step, low), sums)
    else:
        for entry in range(first, whole, 16):
            weights = gather(query, load_shorts(components + 2 * entry))
            sums = fma(weights, fma(load_byte_floats(codes + entry), step, low), sums)
        if whole < last:
            weights = gather(query, shorts_until(components + 2 * whole, last - whole, word(job + DIMENSION)))
            sums = fma(weights, fma(load_byte_floats(codes + whole), step, low), sums)
    return total(sums)


@njit
def plain_promise(job, row, block):
    """As `promise`, an entry at a time."""
    first = np.int64(code(word(job + SUMMARY_STARTS) + 4 * row))
    last = np.int64(code(word(job + SUMMARY_STARTS) + 4 * row + 4))
    scales = word(job + SUMMARY_SCALES) + 8 * block
    low, step = number(scales), number(scales + 4)
    codes, components, query = word(job + SUMMARY_CODES), word(job + SUMMARY_COLUMNS), word(job + DENSE)
    found = low * 0
    wide = word(job + WIDE)
    for entry in range(first, last):
        component = np.int64(code(components + 4 * entry)) if wide else np.int64(mask(components + 2 * entry))
        found += number(query + 4 * component) * (byte(codes + entry) * step + low)
    return found


@njit
def label(job, row):
    """Block or component of a row of summaries."""
    labels = word(job + SUMMARY_LABELS)
    if word(job + WIDE):
        return np.int64(code(labels + 4 * row))
    return np.int64(mask(labels + 2 * row))


@njit
def promises(job, row, rows, first, count, low, high):
    """Inner products of the whole query with all summaries of a list that keeps them by component, from its `rows` rows on."""
    estimates, wide = word(job + ESTIMATES), word(job + WIDE)
    starts, columns, codes = word(job + SUMMARY_STARTS), word(job + SUMMARY_COLUMNS), word(job + SUMMARY_CODES)
    scales = word(job + SUMMARY_SCALES) + 8 * first
    nothing = number(scales) * 0
    for one in range(count):
        put(estimates + 4 * one, nothing)
    for entry in range(low, high):
        component = np.int64(place(word(job + QUERY_COMPONENTS) + 4 * entry))
        weight = number(word(job + QUERY_VALUES) + 4 * entry)
        # the last row whose component is not larger, without a branch that could be guessed wrong
        at, left = row, rows
        while left > 1:
            half = left >> 1
            at += half if label(job, at + half) <= component else 0
            left -= half
        if label(job, at) == component:
            for one in range(np.int64(code(starts + 4 * at)), np.int64(code(starts + 4 * at + 4))):
                block = np.int64(code(columns + 4 * one)) if wide else np.int64(mask(columns + 2 * one))
                value = byte(codes + one) * number(scales + 8 * block + 4) + number(scales + 8 * block)
                put(estimates + 4 * block, number(estimates + 4 * block) + weight * value)


@njit
def choose(job, first, last):
    """Puts the components of the query's largest values into CHOSEN, largest first; returns how many."""
    chosen, values, components = word(job + CHOSEN), word(job + QUERY_VALUES), word(job + QUERY_COMPONENTS)
    most = min(word(job + QUERY_CUT), last - first)
    held = 0
    for entry in range(first, last):
        value = number(values + 4 * entry)
        if held == most and value <= float_of(word(chosen + 16 * (most - 1))):
            continue
        at = min(held, most - 1)
        held = min(held + 1, most)
        while at > 0 and float_of(word(chosen + 16 * (at - 1))) < value:
            put_word(chosen + 16 * at, word(chosen + 16 * (at - 1)))
            put_word(chosen + 16 * at + 8, word(chosen + 16 * (at - 1) + 8))
            at -= 1
        put_word(chosen + 16 * at, bits_of(value))
        put_word(chosen + 16 * at + 8, np.int64(place(components + 4 * entry)))
    return held


@njit
def push(documents, scores, held, k, document, score):
    """Inserts into the best k, best first; returns how many there are."""
    if held == k and score <= number(scores + 4 * (k - 1)):
        return held
    at = min(held, k - 1)
    while at > 0 and number(scores + 4 * (at - 1)) < score:
        put(scores + 4 * at, number(scores + 4 * (at - 1)))
        put_word(documents + 8 * at, word(documents + 8 * (at - 1)))
        at -= 1
    put(scores + 4 * at, score)
    put_word(documents + 8 * at, document)
    return min(held + 1, k)


@njit
def is_seen(seen, document):
    return (byte(seen + (document >> 3)) >> (document & 7)) & 1


@njit
def see(job, document, scored):
    """Marks a document, and notes it as scored."""
    at = word(job + SEEN) + (document >> 3)
    put_byte(at, byte(at) | (1 << (document & 7)))
    put_place(word(job + SCORED) + 4 * scored, document)


@njit
def ask(job, document):
    """Fetches a document that is not seen yet."""
    if not is_seen(word(job + SEEN), document):
        starts, lines, line = word(job + FORWARD_STARTS) + 8 * document, word(job + FORWARD_LINES), word(job + LINE)
        fetch(lines + line * word(starts), lines + line * word(starts + 8))


@_inlined
def score(job, document, dot):
    starts, lines, line = word(job + FORWARD_STARTS) + 8 * document, word(job + FORWARD_LINES), word(job + LINE)
    found = dot(word(job + FORM), lines + line * word(starts), lines + line * word(starts + 8), word(job + DENSE))
    return found * float_of(word(job + UNIT))


@_inlined
def open_block(job, block, asked, following, documents, scores, held, scored, until, dot):
    """Scores the unseen documents of a block, of which the first `asked` have been asked for, and asks for those of the block
    that likely follows (-1: none).

    Returns how many are held and scored, and how many of the following block were asked for; stops at `until` scored.
    """
    starts, postings, k = word(job + BLOCK_STARTS), word(job + POSTINGS), word(job + K)
    first, last = np.int64(code(starts + 4 * block)), np.int64(code(starts + 4 * block + 4))
    begin, end = np.int64(0), np.int64(0)
    if following >= 0:
        begin, end = np.int64(code(starts + 4 * following)), np.int64(code(starts + 4 * following + 4))
        for at in range(begin, end):  # where its documents' lines begin, which asking for the lines must read
            prefetch(word(job + FORWARD_STARTS) + 8 * np.int64(place(postings + 4 * at)))
    further = begin
    for at in range(first + asked, min(last, first + AHEAD)):
        ask(job, np.int64(place(postings + 4 * at)))
    for at in range(first, last):
        if at + AHEAD < last:
            if at + AHEAD >= first + asked:
                ask(job, np.int64(place(postings + 4 * (at + AHEAD))))
        elif further < end:
            ask(job, np.int64(place(postings + 4 * further)))
            further += 1
        document = np.int64(place(postings + 4 * at))
        if not is_seen(word(job + SEEN), document):
            see(job, document, scored)
            scored += 1
            held = push(documents, scores, held, k, document, score(job, document, dot))
            if scored == until:
                break
    return held, scored, further - begin


@njit
def sink(queue, count, at):
    """Restores the heap of 64-bit keys below `at`."""
    key = word(queue + 8 * at)
    while 2 * at + 1 < count:
        child = 2 * at + 1
        if child + 1 < count and word(queue + 8 * (child + 1)) > word(queue + 8 * child):
            child += 1
        if word(queue + 8 * child) <= key:
            break
        put_word(queue + 8 * at, word(queue + 8 * child))
        at = child
    put_word(queue + 8 * at, key)


@_inlined
def by_promise(job, first, count, documents, scores, held, scored, dot):
    """Opens a list's blocks from the most promising on, until none is promising enough."""
    queue, estimates, k, factor = word(job + QUEUE), word(job + ESTIMATES), word(job + K), float_of(word(job + HEAP_FACTOR))
    for block in range(count):
        # of equal promises the earlier block comes first
        put_word(queue + 8 * block, bits_of(number(estimates + 4 * block)) << 31 | 0x7FFFFFFF - block)
    for at in range(count // 2 - 1, -1, -1):
        sink(queue, count, at)
    asked = 0
    while count > 0:
        key = word(queue)
        if held == k and float_of(key >> 31) < factor * number(scores + 4 * (k - 1)):
            break
        count -= 1
        put_word(queue, word(queue + 8 * count))
        sink(queue, count, 0)
        following = -1
        if count > 0 and (held < k or float_of(word(queue) >> 31) >= factor * number(scores + 4 * (k - 1))):
            following = first + 0x7FFFFFFF - (word(queue) & 0x7FFFFFFF)
        block = first + 0x7FFFFFFF - (key & 0x7FFFFFFF)
        held, scored, asked = open_block(job, block, asked, following, documents, scores, held, scored, -1, dot)
    return held, scored


@_inlined
def as_stored(job, first, count, documents, scores, held, scored, dot):
    """Opens a list's promising blocks one after the other."""
    estimates, k, factor = word(job + ESTIMATES), word(job + K), float_of(word(job + HEAP_FACTOR))
    block, asked = 0, 0
    while block < count:
        if held == k and number(estimates + 4 * block) < factor * number(scores + 4 * (k - 1)):
            block += 1
            asked = 0
            continue
        following = block + 1
        while following < count and held == k and number(estimates + 4 * following) < factor * number(scores + 4 * (k - 1)):
            following += 1
        then = first + following if following < count else -1
        held, scored, asked = open_block(job, first + block, asked, then, documents, scores, held, scored, -1, dot)
        block = following
    return held, scored


@_inlined
def at_random(job, lists, turn, documents, scores, dot):
    """The twin: the blocks of all chosen lists in random order, none skipped, until enough documents are scored."""
    queue, chosen, blocks = word(job + QUEUE), word(job + CHOSEN), word(job + LIST_BLOCKS)
    count = 0
    for number_ in range(lists):
        component = word(chosen + 16 * number_ + 8)
        for block in range(np.int64(code(blocks + 4 * component)), np.int64(code(blocks + 4 * component + 4))):
            put_word(queue + 8 * count, block)
            count += 1
    state = scramble(word(job + SEED) * 0x10001 + turn)
    held, scored = 0, 0
    while count > 0 and scored < word(job + RANDOM_UNTIL):
        state = scramble(state)
        at = (np.int64(state >> _UPPER) * count) >> 31
        block = word(queue + 8 * at)
        count -= 1
        put_word(queue + 8 * at, word(queue + 8 * count))
        held, scored, _ = open_block(job, block, 0, -1, documents, scores, held, scored, word(job + RANDOM_UNTIL), dot)
    return held, scored


@_inlined
def refine(job, documents, scores, held, scored, dot):
    """Scores the neighbours of the documents held: once, not those of neighbours."""
    queue, neighbours, width = word(job + QUEUE), word(job + NEIGHBOURS), word(job + NKNN)
    for at in range(held):
        put_word(queue + 8 * at, word(documents + 8 * at))
    for at in range(held):
        row = neighbours + 4 * width * word(queue + 8 * at)
        for one in range(word(job + N_KNN)):
            neighbour = np.int64(place(row + 4 * one))
            if neighbour >= 0 and not is_seen(word(job + SEEN), neighbour):
                see(job, neighbour, scored)
                scored += 1
                held = push(documents, scores, held, word(job + K), neighbour, score(job, neighbour, dot))
    return held, scored


@_inlined
def search(job, dot, estimate):
    """Answers the job's queries. `dot` and `estimate` are `vector` and `promise`, or their plain forms."""
    dense, k = word(job + DENSE), word(job + K)
    for query in range(word(job + QUERIES)):
        documents, scores = word(job + HIT_DOCUMENTS) + 8 * k * query, word(job + HIT_SCORES) + 4 * k * query
        low, high = word(word(job + QUERY_STARTS) + 8 * query), word(word(job + QUERY_STARTS) + 8 * query + 8)
        for entry in range(low, high):
            component = np.int64(place(word(job + QUERY_COMPONENTS) + 4 * entry))
            put(dense + 4 * component, number(word(job + QUERY_VALUES) + 4 * entry))
        lists = choose(job, low, high)
        held, scored = 0, 0
        if word(job + RANDOM_UNTIL):
            held, scored = at_random(job, lists, query, documents, scores, dot)
        else:
            for turn in range(lists):
                component = word(word(job + CHOSEN) + 16 * turn + 8)
                blocks = word(job + LIST_BLOCKS) + 4 * component
                first, count = np.int64(code(blocks)), np.int64(code(blocks + 4)) - np.int64(code(blocks))
                row = np.int64(code(word(job + SUMMARY_ROWS) + 4 * component))
                if count <= BY_BLOCK:
                    for block in range(count):
                        put(word(job + ESTIMATES) + 4 * block, estimate(job, row + block, first + block))
                else:
                    rows = np.int64(code(word(job + SUMMARY_ROWS) + 4 * component + 4)) - row
                    promises(job, row, rows, first, count, low, high)
                if turn == 0 and word(job + FIRST_SORTED):
                    held, scored = by_promise(job, first, count, documents, scores, held, scored, dot)
                else:
                    held, scored = as_stored(job, first, count, documents, scores, held, scored, dot)
        if word(job + N_KNN):
            held, scored = refine(job, documents, scores, held, scored, dot)
        put_word(word(job + HIT_SCORED) + 8 * query, scored)
        for entry in range(low, high):
            component = np.int64(place(word(job + QUERY_COMPONENTS) + 4 * entry))
            put(dense + 4 * component, number(dense) * 0)
        seen = word(job + SEEN)
        for at in range(scored):
            document = np.int64(place(word(job + SCORED) + 4 * at))
            put_byte(seen + (document >> 3), byte(seen + (document >> 3)) & ~(1 << (document & 7)))


def avx512():
    @cfunc(KERNEL, cache=True)
    def seismic(job):
        search(job, vector, promise)

    return seismic


def portable():
    @cfunc(KERNEL, cache=True)
    def seismic(job):
        search(job, plain, plain_promise)

    return seismic
