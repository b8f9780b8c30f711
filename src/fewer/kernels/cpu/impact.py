"""Search by impact: add up the strongest postings in small counters, then score the best documents exactly.

Documents lie in chunks of at most 65,504. In a chunk a term's postings are 16-bit document numbers, ordered by level: all
postings of a level count as one value, so that a level is one short loop of additions to 16-bit counters. Terms that very many
documents have also lie as rows, a byte for each document, which are multiplied and added 32 documents at a time.
"""

from numba import njit

from fewer.kernels.cpu import forward
from fewer.kernels.cpu.asked import CALL, ask
from fewer.kernels.cpu.best import offer, settle
from fewer.kernels.cpu.lanes import byte, code, mask, number, ones, place, prefetch, put, word
from fewer.kernels.cpu.short_lanes import (
    COUNTERS,
    bump,
    clear,
    lowest,
    no_counts,
    put_counts,
    put_int,
    put_long,
    put_short,
    raise_all,
    reached,
    weighted,
)

LEVELS = 8
ENTRY = 32
"""Bytes of a term's entry in a chunk's table: where its postings begin (32 bits), then where each level ends (16 bits each),
counted from there."""
CELLS = 64 * COUNTERS
"""Counters of the first chunk are reduced to this many maxima: a cheap first threshold."""
CODES = 31
"""Values of a row are counted in this part of the largest value, rounded up."""
MOST_ROWS = 64
"""Most rows that are added up for a query."""
LONGEST = 1024
"""Most terms of a query that are added up: the heaviest."""

(
    QUERIES, STARTS, TERMS, WEIGHTS, DOCUMENTS, SCORES, SCORED, K,
    CHUNKS, CHUNK, SIZE, DIMENSION, TABLE, FIRSTS, IDS, LEVEL_VALUES,
    FORM, LINE_STARTS, LINES, LINE, QUERY, COUNTER, CELL, CANDIDATES,
    FOUND, FOUND_COUNTS, ROOM, HEAP, PLAN, ALIVE, FLOATS, WAITING, EXACT, ROW_OF, ROWS, ROW,
    ROW_TOTALS, ROW_PLAN, JOB,
) = range(0, 8 * 39, 8)  # fmt: skip
"""Offsets of the job's integers; see `retrieval.index.impact` for what each is."""
CUT, GAMMA, UNIT = range(0, 12, 4)
"""Offsets of the job's floats."""
_AHEAD = 6  # documents whose lines are asked for before they are scored
_SURE = 12  # documents scored first, so that the rest can be held against their k-th
_ID_AHEAD = 512  # bytes of a level that are asked for before they are added
_ROW_AHEAD = 1024  # bytes of a row that are asked for before they are added
_ROW_COST = 3  # a row takes the time of about this power of two fewer postings than documents
_STEP = 32  # bytes of a term's entry in the plan


@njit
def _add(counters, ids, count, by):
    """Add `by` to the counters of `count` documents."""
    at, end = ids, ids + ((count >> 3) << 4)
    while at < end:
        a, b = word(at), word(at + 8)
        prefetch(at + _ID_AHEAD)
        bump(counters + ((a << 1) & 0x1FFFE), by)
        bump(counters + ((a >> 15) & 0x1FFFE), by)
        bump(counters + ((a >> 31) & 0x1FFFE), by)
        bump(counters + ((a >> 47) & 0x1FFFE), by)
        bump(counters + ((b << 1) & 0x1FFFE), by)
        bump(counters + ((b >> 15) & 0x1FFFE), by)
        bump(counters + ((b >> 31) & 0x1FFFE), by)
        bump(counters + ((b >> 47) & 0x1FFFE), by)
        at += 16
    for at in range(end, ids + 2 * count, 2):
        bump(counters + (int(mask(at)) << 1), by)


@njit
def _plan(job, first, last):
    """Write what to add for the query's terms (entries first .. last of all queries): term, levels, amounts. Returns where
    that ends, where the plan of rows ends (address of a row, amount), how much a counter counts for each unit of score, and
    how much of a score the levels left out can make up. A row is taken where it is cheaper than the levels.

    An exact search rounds up and keeps terms without a level: it may have to add the rest of them.
    """
    terms, weights, plan = word(job + TERMS), word(job + WEIGHTS), word(job + PLAN)
    values, query, floats, exact = word(job + LEVEL_VALUES), word(job + QUERY), word(job + FLOATS), word(job + EXACT)
    mass, largest = number(weights) * 0, number(weights) * 0
    for entry in range(first, last):
        weight = number(weights + 4 * entry)
        put(query + 4 * int(place(terms + 4 * entry)), weight)
        mass += weight
        largest = max(largest, weight)
    scale = 60000 / (mass * number(values))
    least = number(floats + CUT) * largest * number(values)
    at, row_at, slack = plan, word(job + ROW_PLAN), mass * 0
    row_end, pays = row_at + 16 * MOST_ROWS, word(job + SIZE) >> _ROW_COST
    for entry in range(first, last):
        weight = number(weights + 4 * entry)
        levels = 0
        while levels < LEVELS and weight * number(values + 4 * levels) >= least:
            levels += 1
        row = place(word(job + ROW_OF) + 4 * int(place(terms + 4 * entry)))
        wanted = LEVELS if exact else levels
        if row >= 0 and wanted and row_at < row_end and word(word(job + ROW_TOTALS) + 8 * (LEVELS * row + wanted - 1)) > pays:
            put_long(row_at, word(job + ROWS) + row * word(job + ROW))
            amount = weight * number(values) * scale / CODES
            put_long(row_at + 8, int(amount) + 1 if exact else max(1, int(amount + 0.5)))
            row_at += 16
        elif at == plan + _STEP * LONGEST:
            slack += weight * number(values)
        elif levels or exact:
            put_int(at, place(terms + 4 * entry))
            put_int(at + 4, levels)
            for level in range(LEVELS if exact else levels):
                put_short(at + 8 + 2 * level, int(weight * number(values + 4 * level) * scale) + 1)
            if levels < LEVELS:
                slack += weight * number(values + 4 * levels)
            at += _STEP
    return at, row_at, scale, slack


@njit
def _add_rows(job, chunk, vectors, end):
    """The chunk's counters become the sums of the planned rows."""
    counters, plan = word(job + COUNTER), word(job + ROW_PLAN)
    if end == plan:
        return
    first = chunk * word(job + CHUNK)
    for vector in range(0, vectors - 3, 4):
        a, b, c, d = no_counts(), no_counts(), no_counts(), no_counts()
        from_ = first + (vector << 5)
        for at in range(plan, end, 16):
            row, by = word(at) + from_, at + 8
            prefetch(row + _ROW_AHEAD)
            prefetch(row + _ROW_AHEAD + 64)
            a, b = weighted(a, row, by), weighted(b, row + 32, by)
            c, d = weighted(c, row + 64, by), weighted(d, row + 96, by)
        to = counters + (vector << 6)
        put_counts(to, a)
        put_counts(to + 64, b)
        put_counts(to + 128, c)
        put_counts(to + 192, d)
    for vector in range(vectors & ~3, vectors):
        sums = no_counts()
        for at in range(plan, end, 16):
            sums = weighted(sums, word(at) + first + (vector << 5), at + 8)
        put_counts(counters + (vector << 6), sums)


@njit
def _accumulate(job, chunk, end, rest):
    """Add the planned levels of all terms to the chunk's counters; or the rest of their levels."""
    plan, counters = word(job + PLAN), word(job + COUNTER)
    table = word(job + TABLE) + chunk * word(job + DIMENSION) * ENTRY
    ids = word(job + IDS) + 2 * word(word(job + FIRSTS) + 8 * chunk)
    for ahead in range(plan, min(end, plan + 8 * _STEP), _STEP):
        prefetch(table + ENTRY * int(place(ahead)))
    for at in range(plan, end, _STEP):
        if at + 8 * _STEP < end:
            prefetch(table + ENTRY * int(place(at + 8 * _STEP)))
        if at + 3 * _STEP < end:
            soon, levels = table + ENTRY * int(place(at + 3 * _STEP)), int(place(at + 3 * _STEP + 4))
            if levels:
                low = ids + 2 * int(code(soon))
                for line in range(low, low + 2 * int(mask(soon + 2 + 2 * levels)), 64):
                    prefetch(line)
        entry = table + ENTRY * int(place(at))
        first = ids + 2 * int(code(entry))
        done, low, high = 0, 0, int(place(at + 4))
        if rest:
            low, high = high, LEVELS
            done = int(mask(entry + 2 + 2 * low)) if low else 0
        for level in range(low, high):
            until = int(mask(entry + 4 + 2 * level))
            if until > done:
                _add(counters, first + 2 * done, until - done, mask(at + 8 + 2 * level))
                done = until


@njit
def _first_threshold(job, vectors):
    """A value that at least CANDIDATES counters of the chunk reach, from the maxima of its cells."""
    counters, cells = word(job + COUNTER), word(job + CELL)
    for cell in range(cells, cells + 2 * CELLS, 64):
        clear(cell)
    for vector in range(vectors):
        raise_all(cells + ((vector & 63) << 6), counters + (vector << 6))
    return _kth(cells, CELLS, word(job + CANDIDATES))


@njit
def _kth(counts, size, k):
    """The k-th largest of `size` counters, behind which 31 more can be written; 0 when there are fewer."""
    for at in range(size, (size + COUNTERS - 1) & -COUNTERS):
        put_short(counts + 2 * at, 0)
    end = counts + 2 * size
    kth = 0
    for bit in range(15, -1, -1):
        trial, above = kth | (1 << bit), 0
        for vector in range(counts, end, 64):
            above += ones(reached(vector, trial))
        if above >= k:
            kth = trial
    return kth


@njit
def _keep(job, found, least, most):
    """Keep at most `most` of `found` candidates: all above `least`, and as many at it as there is room for."""
    documents, counts = word(job + FOUND), word(job + FOUND_COUNTS)
    above = 0
    for at in range(found):
        above += int(mask(counts + 2 * at)) > least
    ties, kept = most - above, 0
    for at in range(found):
        count = mask(counts + 2 * at)
        if int(count) > least or (int(count) == least and ties > 0):
            ties -= int(count) == least
            put_int(documents + 4 * kept, place(documents + 4 * at))
            put_short(counts + 2 * kept, count)
            kept += 1
    return kept


@njit
def _collect(job, base, vectors, threshold, found):
    """Take the chunk's documents whose counters reach the threshold, and clear all counters. Returns the new threshold and how
    many candidates there are."""
    counters, alive, most = word(job + COUNTER), word(job + ALIVE), word(job + CANDIDATES)
    documents, counts, room = word(job + FOUND), word(job + FOUND_COUNTS), word(job + ROOM)
    for vector in range(counters, counters + (vectors << 6), 64):
        bits = reached(vector, threshold)
        if bits:
            while bits:
                lane = lowest(bits)
                bits &= bits - 1
                document = base + ((vector - counters) >> 1) + lane
                if alive == 0 or byte(alive + document):
                    put_int(documents + 4 * found, document)
                    put_short(counts + 2 * found, mask(vector + 2 * lane))
                    found += 1
            if found > room - COUNTERS:
                threshold = _kth(counts, found, most)
                found = _keep(job, found, threshold, most)
                threshold = min(threshold + 1, 65535)
        clear(vector)
    return threshold, found


@njit
def _score(job, waiting, held, dot):
    """Score the waiting documents and offer them to the heap. Returns how many it holds."""
    documents, k, heap = word(job + WAITING), word(job + K), word(job + HEAP)
    form, lines, line = word(job + FORM), word(job + LINES), word(job + LINE)
    starts, query = word(job + LINE_STARTS), word(job + QUERY)
    for at in range(waiting):
        prefetch(starts + 8 * int(place(documents + 4 * at)))
    for at in range(-_AHEAD, waiting):
        if at + _AHEAD < waiting:
            soon = starts + 8 * int(place(documents + 4 * (at + _AHEAD)))
            forward.fetch(lines + line * word(soon), lines + line * word(soon + 8))
        if at >= 0:
            document = place(documents + 4 * at)
            entry = starts + 8 * int(document)
            score = dot(form, lines + line * word(entry), lines + line * word(entry + 8), query)
            held = offer(heap, held, k, score, document)
    return held


@njit
def _between(job, found, least, below):
    """Queue the candidates whose counters lie in least .. below - 1. Returns how many."""
    documents, counts, queue = word(job + FOUND), word(job + FOUND_COUNTS), word(job + WAITING)
    waiting = 0
    for at in range(found):
        count = int(mask(counts + 2 * at))
        put_int(queue + 4 * waiting, place(documents + 4 * at))
        waiting += least <= count < below
    return waiting


@njit
def _answer(job, dot, first, last):
    """Fill the heap for one query, whose entries are first .. last of all queries. Returns how many it holds, and how many
    documents were scored."""
    chunk_size, size, most = word(job + CHUNK), word(job + SIZE), word(job + CANDIDATES)
    k, floats = word(job + K), word(job + FLOATS)
    end, rows, scale, _ = _plan(job, first, last)
    threshold, found = 1, 0
    for chunk in range(word(job + CHUNKS)):
        base = chunk * chunk_size
        vectors = (min(chunk_size, size - base) + COUNTERS - 1) >> 5
        _add_rows(job, chunk, vectors, rows)
        _accumulate(job, chunk, end, False)
        if chunk == 0 and word(job + ALIVE) == 0:
            threshold = max(1, _first_threshold(job, vectors))
        threshold, found = _collect(job, base, vectors, threshold, found)
        if found > 2 * most:
            threshold = max(threshold, _kth(word(job + FOUND_COUNTS), found, most))
    # The best by their counters first: their k-th score tells which of the others can still matter.
    counts = word(job + FOUND_COUNTS)
    lowest_kept = _kth(counts, found, most)
    sure = max(_kth(counts, found, min(found, max(_SURE, k + 2))), 1)
    waiting = _between(job, found, sure, 65536)
    held = _score(job, waiting, 0, dot)
    scored = waiting
    if held == k:
        kth = number(word(job + HEAP)) * number(floats + UNIT)
        lowest_kept = max(lowest_kept, int(number(floats + GAMMA) * kth * scale))
    waiting = _between(job, found, lowest_kept, sure)
    held = _score(job, waiting, held, dot)
    return held, scored + waiting


@njit
def _reaching(job, base, vectors, threshold, most):
    """Queue the chunk's living documents whose counters reach the threshold; a negative number when there are more."""
    counters, alive = word(job + COUNTER), word(job + ALIVE)
    queue, waiting = word(job + WAITING), 0
    for vector in range(counters, counters + (vectors << 6), 64):
        bits = reached(vector, threshold)
        while bits:
            document = base + ((vector - counters) >> 1) + lowest(bits)
            bits &= bits - 1
            if alive == 0 or byte(alive + document):
                if waiting == most:
                    return -1
                put_int(queue + 4 * waiting, document)
                waiting += 1
    return waiting


@njit
def _all(job, base, vectors, held, scored, dot):
    """Score every living document of the chunk that has a counter: when neither bound leaves few enough."""
    counters, alive, queue = word(job + COUNTER), word(job + ALIVE), word(job + WAITING)
    for vector in range(counters, counters + (vectors << 6), 64):
        bits, waiting = reached(vector, 1), 0
        while bits:
            document = base + ((vector - counters) >> 1) + lowest(bits)
            bits &= bits - 1
            if alive == 0 or byte(alive + document):
                put_int(queue + 4 * waiting, document)
                waiting += 1
        held, scored = _score(job, waiting, held, dot), scored + waiting
    return held, scored


@njit
def _forget(job, base, done):
    """Clear the counters of the documents that are scored already."""
    for at in range(done):
        document = place(word(job + FOUND) + 4 * at)
        put_short(word(job + COUNTER) + 2 * (int(document) - base), 0)


@njit
def _exact(job, dot, first, last):
    """As `_answer`, with the certainty that no better document is left out.

    Amounts are rounded up, so a counter and the slack together bound a score from above. Where too many documents could reach
    the k-th score, the chunk's other levels are added as well, which leaves no slack.
    """
    k, size, chunk_size, room = word(job + K), word(job + SIZE), word(job + CHUNK), word(job + ROOM)
    unit, heap, counters = number(word(job + FLOATS) + UNIT), word(job + HEAP), word(job + COUNTER)
    end, rows, scale, slack = _plan(job, first, last)
    held, scored = 0, 0
    for chunk in range(word(job + CHUNKS)):
        base = chunk * chunk_size
        vectors = (min(chunk_size, size - base) + COUNTERS - 1) >> 5
        _add_rows(job, chunk, vectors, rows)
        _accumulate(job, chunk, end, False)
        # The first chunk's best by their counters give a k-th score that the others are held against.
        done = 0
        if held < k:
            waiting = _reaching(job, base, vectors, max(1, _first_threshold(job, vectors)), room)
            for at in range(waiting):
                put_int(word(job + FOUND) + 4 * at, place(word(job + WAITING) + 4 * at))
            done = max(waiting, 0)
            held, scored = _score(job, done, held, dot), scored + done
            _forget(job, base, done)
        left = slack
        while True:
            least = (number(heap) * unit - left) * scale if held == k else left * 0
            if left == 0 or least >= 1:
                waiting = _reaching(job, base, vectors, max(1, min(65535, int(least))), room)
                if waiting >= 0 or left == 0:
                    break
            # Too many could matter, or documents without a count could: no slack then.
            _accumulate(job, chunk, end, True)
            _forget(job, base, done)
            left = left * 0
        if waiting < 0:
            held, scored = _all(job, base, vectors, held, scored, dot)
        else:
            held, scored = _score(job, waiting, held, dot), scored + waiting
        for vector in range(counters, counters + (vectors << 6), 64):
            clear(vector)
    return held, scored


@njit
def _search(job, dot):
    k, unit = word(job + K), number(word(job + FLOATS) + UNIT)
    heap, dense = word(job + HEAP), word(job + QUERY)
    for query in range(word(job + QUERIES)):
        starts = word(job + STARTS) + 8 * query
        first, last = word(starts), word(starts + 8)
        if word(job + EXACT):
            held, scored = _exact(job, dot, first, last)
        else:
            held, scored = _answer(job, dot, first, last)
        for entry in range(first, last):
            put(dense + 4 * int(place(word(job + TERMS) + 4 * entry)), 0.0)
        settle(heap, held)
        documents, scores = word(job + DOCUMENTS) + 8 * k * query, word(job + SCORES) + 4 * k * query
        for at in range(held):
            put_long(documents + 8 * at, int(place(heap + 8 * at + 4)))
            put(scores + 4 * at, number(heap + 8 * at) * unit)
        put_long(word(job + SCORED) + 8 * query, scored)


@njit(CALL, nogil=True, cache=True)
def search_avx512(job, starts, components, values, documents, scores, scored):
    """Answer queries (CSR) as the job at an address says; the arguments are those of `ask`."""
    ask(job, starts, components, values, documents, scores, scored)
    _search(job, forward.vector)


@njit(CALL, nogil=True, cache=True)
def search_portable(job, starts, components, values, documents, scores, scored):
    """As `search_avx512`."""
    ask(job, starts, components, values, documents, scores, scored)
    _search(job, forward.plain)
