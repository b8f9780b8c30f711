"""The k best of a stream of (score, document), in two arrays that a searcher keeps: a heap whose root is the worst of them.

A pair is worse than another when its score is lower or, at equal scores, its document number higher.
"""

from numba import njit


@njit(cache=True, nogil=True)
def worse(score, document, than_score, than_document):
    """Does the first pair come after the second?"""
    return score < than_score or (score == than_score and document > than_document)


@njit(cache=True, nogil=True)
def keep(scores, documents, count, score, document):
    """Put a pair among the best; the worst leaves when the arrays are full. Returns how many there are now."""
    if count < len(scores):
        place = count
        while place > 0:
            parent = (place - 1) >> 1
            if not worse(score, document, scores[parent], documents[parent]):
                break
            scores[place] = scores[parent]
            documents[place] = documents[parent]
            place = parent
        scores[place] = score
        documents[place] = document
        return count + 1
    if worse(scores[0], documents[0], score, document):
        _sink(scores, documents, count, score, document)
    return count


@njit(cache=True, nogil=True)
def unload(scores, documents, count, into_scores, into_documents):
    """Empty the heap into two arrays, best first."""
    for last in range(count - 1, -1, -1):
        into_scores[last] = scores[0]
        into_documents[last] = documents[0]
        _sink(scores, documents, last, scores[last], documents[last])


@njit(cache=True, nogil=True)
def _sink(scores, documents, count, score, document):
    """Replace the root of a heap of `count` pairs."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        if child + 1 < count and worse(scores[child + 1], documents[child + 1], scores[child], documents[child]):
            child += 1
        if not worse(scores[child], documents[child], score, document):
            break
        scores[place] = scores[child]
        documents[place] = documents[child]
        place = child
    scores[place] = score
    documents[place] = document
