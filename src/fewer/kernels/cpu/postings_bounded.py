"""Term at a time, until no new document can come among the best; then only the documents that still can are looked up.

The idea is MaxScore's (Turtle & Flood 1995), with sums in memory in place of cursors: terms come in the order of what they can
add at most, so that the long lists of common terms are last, and mostly not read.
"""

import numpy as np
from numba import njit

from fewer.kernels.cpu.postings import LEAST, add, drain
from fewer.kernels.cpu.postings_heap import keep, unload
from fewer.kernels.cpu.postings_lanes import GROUP, at_least, lowest_of_64, ones_of_64, wipe

RANKS = np.array([1, 10, 100, 1000])
"""Which values of each list are known beforehand: the first bounds it, the k-th is a first threshold."""
SWEEP = 40
"""Sums that are swept in the time that one posting takes."""
FIXED = 400
"""Postings that are added in the time that a sweep takes beside its sums."""
LOOK_UP = 24
"""Postings that are added in the time that one is looked up."""


@njit(cache=True, nogil=True)
def bounded(
    starts, documents, values, peaks,
    query_starts, components, weights, alive, sums, address,
    heap_scores, heap_documents, candidates, candidate_sums, found, scores, scored,
):  # fmt: skip
    """As `term_at_a_time`, with `peaks` at `RANKS`, and room for candidates: some documents and as many sums."""
    rank = np.searchsorted(RANKS, len(heap_scores))
    for query in range(len(query_starts) - 1):
        first, terms = query_starts[query], query_starts[query + 1] - query_starts[query]
        order, rest, left = _plan(starts, peaks, components, weights, first, terms)
        least = LEAST
        if len(alive) == 0 and rank < len(RANKS):
            for entry in range(first, first + terms):
                least = max(least, weights[entry] * peaks[components[entry], rank])
        sweep, done, collected, tried = FIXED + len(sums) // SWEEP, 0, -1, 2 * left[0] + 4 * len(sums)
        while done < terms:
            # a sweep comes after as many postings as it costs, and when it can save more
            if left[done] > 4 * sweep and left[done] + 2 * sweep < tried:
                if rest[done] >= least and done > 0:
                    least = _kth(sums, address, least, alive, heap_scores, heap_documents)
                    tried = left[done]
                if rest[done] < least:
                    bar = max(LEAST, np.float32((least - rest[done]) * (1 - 1e-6)))
                    room = min(len(candidates), (left[done] - 2 * sweep) // (LOOK_UP * (terms - done)))
                    if _count(sums, address, bar) <= room:
                        collected = _collect(sums, address, bar, alive, candidates, candidate_sums)
                        break
                    tried = left[done]
            term = components[order[done]]
            add(documents, values, starts[term], starts[term + 1], weights[order[done]], sums)
            done += 1
        if collected < 0:
            count, scored[query] = drain(sums, address, least, alive, heap_scores, heap_documents)
        else:
            scored[query] = collected
            for at in range(done, terms):
                collected = _still(candidates, candidate_sums, collected, rest[at], least)
                term = components[order[at]]
                _look_up(
                    documents, values, starts[term], starts[term + 1], weights[order[at]], candidates, candidate_sums, collected
                )
            count = 0
            for at in range(collected):
                count = keep(heap_scores, heap_documents, count, candidate_sums[at], candidates[at])
        unload(heap_scores, heap_documents, count, scores[query], found[query])


@njit(cache=True, nogil=True)
def _plan(starts, peaks, components, weights, first, terms):
    """(entries of the query, by what they can add at most; what is left to add from each on; the postings from each on)."""
    order, rest, left = np.empty(terms, np.int64), np.zeros(terms + 1), np.zeros(terms + 1, np.int64)
    most = np.empty(terms)
    for entry in range(first, first + terms):
        bound = weights[entry] * peaks[components[entry], 0]
        place = entry - first
        while place > 0 and most[place - 1] < bound:
            most[place], order[place] = most[place - 1], order[place - 1]
            place -= 1
        most[place], order[place] = bound, entry
    # a float32 sum of n numbers is off by at most n * 2**-24 of itself
    slack = 1 + (terms + 2) * 1.2e-7
    for at in range(terms - 1, -1, -1):
        rest[at] = rest[at + 1] + most[at] * slack
        left[at] = left[at + 1] + starts[components[order[at]] + 1] - starts[components[order[at]]]
    return order, rest, left


@njit(cache=True, nogil=True)
def _kth(sums, address, least, alive, heap_scores, heap_documents):
    """The k-th largest sum, where it is above `least`, else `least`."""
    count = 0
    for group in range(0, len(sums), GROUP):
        matches = at_least(address + 4 * group, least)
        while matches != 0:
            document = group + lowest_of_64(matches)
            matches &= matches - np.uint64(1)
            if sums[document] >= least and (len(alive) == 0 or alive[document]):
                count = keep(heap_scores, heap_documents, count, sums[document], document)
                if count == len(heap_scores):
                    least = max(least, heap_scores[0])
    return least


@njit(cache=True, nogil=True)
def _count(sums, address, bar):
    """How many sums reach the bar."""
    count = 0
    for group in range(0, len(sums), GROUP):
        count += ones_of_64(at_least(address + 4 * group, bar))
    return count


@njit(cache=True, nogil=True)
def _collect(sums, address, bar, alive, candidates, candidate_sums):
    """Write down the documents whose sums reach the bar, and set all sums to 0. Returns how many documents."""
    count = 0
    for group in range(0, len(sums), GROUP):
        matches = at_least(address + 4 * group, bar)
        while matches != 0:
            document = group + lowest_of_64(matches)
            matches &= matches - np.uint64(1)
            if len(alive) == 0 or alive[document]:
                candidates[count], candidate_sums[count] = document, sums[document]
                count += 1
        wipe(address + 4 * group)
    return count


@njit(cache=True, nogil=True)
def _still(candidates, candidate_sums, count, rest, least):
    """Leave out candidates that cannot reach `least` any more."""
    kept = 0
    for at in range(count):
        if candidate_sums[at] + rest >= least:
            candidates[kept], candidate_sums[kept] = candidates[at], candidate_sums[at]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _look_up(documents, values, first, last, weight, candidates, candidate_sums, count):
    """Add a list's postings of the candidates, which ascend: gallop from one to the next."""
    at = first
    for number in range(count):
        document = candidates[number]
        step = 1
        while at + step < last and documents[at + step] < document:
            at += step
            step *= 2
        high = min(at + step, last)
        while at < high:
            middle = (at + high) >> 1
            if documents[middle] < document:
                at = middle + 1
            else:
                high = middle
        if at == last:
            return
        if documents[at] == document:
            candidate_sums[number] += weight * values[at]
