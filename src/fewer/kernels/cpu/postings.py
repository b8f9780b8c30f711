"""Posting lists: sorted out of rows and back, and searched exactly, term at a time.

The list of term t is entries starts[t] .. starts[t + 1] of `documents` (ascending) and `values`.
"""

import numpy as np
from numba import njit

from fewer.kernels.cpu.postings_heap import keep, unload
from fewer.kernels.cpu.postings_lanes import GROUP, at_least, lowest_of_64, ones_of_64, wipe

LEAST = np.float32(1e-38)
"""Below every sum that is not 0."""


@njit(cache=True, nogil=True)
def invert(row_starts, components, values, dimension):
    """Rows to posting lists, by counting: (starts [dimension + 1], documents [entries], values [entries])."""
    starts = np.zeros(dimension + 1, np.int64)
    for component in components:
        starts[component + 1] += 1
    for term in range(dimension):
        starts[term + 1] += starts[term]
    place = starts[:-1].copy()
    documents, weights = np.empty(len(components), np.int32), np.empty(len(components), np.float32)
    for row in range(len(row_starts) - 1):
        for entry in range(row_starts[row], row_starts[row + 1]):
            at = place[components[entry]]
            documents[at] = row
            weights[at] = values[entry]
            place[components[entry]] = at + 1
    return starts, documents, weights


@njit(cache=True, nogil=True)
def peaks(starts, values, ranks):
    """The values of these ranks (ascending; 1 is the largest) in each list, 0 where it is shorter: [terms, ranks]."""
    found = np.zeros((len(starts) - 1, len(ranks)), np.float32)
    largest = np.empty(ranks[-1], np.float32)
    nothing = np.zeros(ranks[-1], np.int64)
    for term in range(len(starts) - 1):
        count = 0
        for at in range(starts[term], starts[term + 1]):
            count = keep(largest, nothing, count, values[at], 0)
        ordered = np.sort(largest[:count])
        for rank in range(len(ranks)):
            if ranks[rank] <= count:
                found[term, rank] = ordered[count - ranks[rank]]
    return found


@njit(cache=True, nogil=True)
def term_at_a_time(
    starts, documents, values,
    query_starts, components, weights, alive, sums, address,
    heap_scores, heap_documents, found, scores, scored,
):  # fmt: skip
    """The best documents of each query, by the sum of weight * value over every posting of its terms.

    Args:
        starts, documents, values: the posting lists; documents are unsigned (a signed index costs a comparison).
        query_starts, components, weights: the queries, as rows.
        alive: a boolean for each document, or none at all when all may be found.
        sums: zeros, one for each document, padded to a multiple of 64; left as zeros.
        address: of `sums`, 64-byte aligned.
        heap_scores, heap_documents: scratch, k of each.
        found, scores, scored: the answer, as in `Hits`.
    """
    for query in range(len(query_starts) - 1):
        for entry in range(query_starts[query], query_starts[query + 1]):
            term = components[entry]
            add(documents, values, starts[term], starts[term + 1], weights[entry], sums)
        count, scored[query] = drain(sums, address, LEAST, alive, heap_scores, heap_documents)
        unload(heap_scores, heap_documents, count, scores[query], found[query])


@njit(cache=True, nogil=True)
def add(documents, values, first, last, weight, sums):
    """Add the postings first .. last, times `weight`, to their documents' sums."""
    for at in range(first, last):
        sums[documents[at]] += weight * values[at]


@njit(cache=True, nogil=True)
def drain(sums, address, least, alive, heap_scores, heap_documents):
    """Put the best sums of at least `least` on the heap and set all to 0. Returns how many it holds, how many were not 0."""
    count, touched = 0, 0
    for group in range(0, len(sums), GROUP):
        touched += ones_of_64(at_least(address + 4 * group, LEAST))
        matches = at_least(address + 4 * group, least)
        while matches != 0:
            document = group + lowest_of_64(matches)
            matches &= matches - np.uint64(1)
            if sums[document] >= least and (len(alive) == 0 or alive[document]):
                count = keep(heap_scores, heap_documents, count, sums[document], document)
                if count == len(heap_scores):
                    least = max(least, heap_scores[0])
        wipe(address + 4 * group)
    return count, touched
