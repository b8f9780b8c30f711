"""Posting lists: sorted out of rows and back, and searched exactly, term at a time.

The list of term t is entries starts[t] .. starts[t + 1] of `documents` (ascending) and `values`.
"""

import numpy as np
from numba import njit

from fewer.kernels.cpu.postings_heap import keep, unload

SWEEP = 64
"""Sums are swept in groups of this many: a group whose largest sum is no match is left after one pass of vector code."""


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


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def term_at_a_time(
    starts,
    documents,
    values,
    query_starts,
    components,
    weights,
    alive,
    sums,
    heap_scores,
    heap_documents,
    found,
    scores,
    scored,
):
    """The best documents of each query, by the sum of weight * value over every posting of its terms.

    Args:
        starts, documents, values: the posting lists.
        query_starts, components, weights: the queries, as rows.
        alive: a boolean for each document, or none at all when all may be found.
        sums: zeros, one for each document, padded to a multiple of `SWEEP`; left as zeros.
        heap_scores, heap_documents: scratch, k of each.
        found, scores, scored: the answer, as in `Hits`.
    """
    for query in range(len(query_starts) - 1):
        for entry in range(query_starts[query], query_starts[query + 1]):
            term, weight = components[entry], weights[entry]
            for at in range(starts[term], starts[term + 1]):
                sums[documents[at]] += weight * values[at]
        count, touched, least = 0, 0, np.float32(0)
        for group in range(0, len(sums), SWEEP):
            largest = np.float32(0)
            for at in range(group, group + SWEEP):
                largest = max(largest, sums[at])
                touched += sums[at] > 0
            if largest > least:
                for at in range(group, group + SWEEP):
                    if sums[at] > least and (len(alive) == 0 or alive[at]):
                        count = keep(heap_scores, heap_documents, count, sums[at], at)
                        if count == len(heap_scores):
                            least = heap_scores[0]
            sums[group : group + SWEEP] = 0
        unload(heap_scores, heap_documents, count, scores[query], found[query])
        scored[query] = touched
