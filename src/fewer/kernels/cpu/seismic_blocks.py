"""Groups the documents of one inverted list into blocks, and thins each block's component-wise maxima to a summary.

Everything here works on one list at a time with scratch of its own, so that threads can share the lists among them.
"""

import numpy as np
from numba import njit

EXACT, INVERTED, APPROX = range(3)
BUCKETS = 256
BY_BLOCK = 128
"""A list of more blocks keeps its summaries by component."""
_GOLDEN, _MIX, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S33 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(33)


@njit(cache=True)
def scramble(number):
    """Splitmix64: a 64-bit number that looks random."""
    number = np.uint64(number) + _GOLDEN
    number = (number ^ (number >> _S30)) * _MIX
    number = (number ^ (number >> _S27)) * _MIX2
    return number ^ (number >> _S31)


@njit(cache=True, nogil=True)
def shuffle(items, first, seed):
    """The first `first` of `items` become a random draw without replacement, the others what is left."""
    state = scramble(seed)
    for at in range(first):
        state = scramble(state)
        # a product in place of a remainder: division by a variable keeps numba from caching
        other = at + ((np.int64(state >> _S33) * (len(items) - at)) >> 31)
        items[at], items[other] = items[other], items[at]


@njit(cache=True, nogil=True)
def strongest(starts, components, values, cut, found, weights):
    """Each row's `cut` largest entries, [rows, cut]; -1 behind the last."""
    for row in range(len(starts) - 1):
        held = 0
        for entry in range(starts[row], starts[row + 1]):
            value = values[entry]
            if held == cut and value <= weights[row, cut - 1]:
                continue
            at = min(held, cut - 1)
            held = min(held + 1, cut)
            while at > 0 and weights[row, at - 1] < value:
                weights[row, at] = weights[row, at - 1]
                found[row, at] = found[row, at - 1]
                at -= 1
            weights[row, at] = value
            found[row, at] = components[entry]
        found[row, held:] = -1


@njit(cache=True, nogil=True)
def cluster(documents, rows, strong, how, fraction, least, seed, local, dense, assigned):
    """Assigns each document of a list to one of the centroids drawn from it; returns how many centroids there are.

    Args:
        documents: of the list.
        rows: starts, components and values of all vectors.
        strong: components and values of each row's strongest entries, from `strongest`.
        how: EXACT, INVERTED or APPROX.
        fraction, least: share of the list that becomes centroids; clusters of at most `least` documents are dissolved.
        local: dimension integers, all -1, and so again afterwards. dense: dimension floats, all 0, likewise.
        assigned: the centroid of each document, by its number among the centroids.
    """
    starts, components, values = rows
    count = max(1, int(fraction * len(documents)))
    assigned[:] = 0
    if count == 1:
        return 1
    order = np.arange(len(documents))
    shuffle(order, count, seed)
    centroids = documents[order[:count]]

    # the centroids' own inverted index: lists[local[c]] of (centroid, value)
    total = 0
    for centroid in centroids:
        total += starts[centroid + 1] - starts[centroid]
    known = np.empty(total, np.int32)
    sizes = np.zeros(total + 1, np.int64)
    different = 0
    for centroid in centroids:
        for entry in range(starts[centroid], starts[centroid + 1]):
            component = components[entry]
            if local[component] < 0:
                local[component] = different
                known[different] = component
                different += 1
            sizes[local[component] + 1] += 1
    for at in range(different):
        sizes[at + 1] += sizes[at]
    place = sizes[:different].copy()
    who = np.empty(total, np.int32)
    weight = np.empty(total, np.float32)
    for number in range(count):
        centroid = centroids[number]
        for entry in range(starts[centroid], starts[centroid + 1]):
            at = local[components[entry]]
            who[place[at]] = number
            weight[place[at]] = values[entry]
            place[at] += 1
    if how == INVERTED:
        _shorten(sizes, different, who, weight, place, max(5, int(0.005 * len(documents))))
    else:
        place[:] = sizes[1 : different + 1]

    scores = np.zeros(count, np.float32)
    alive = np.ones(count, np.bool_)
    members = np.zeros(count, np.int64)
    for again in range(2):
        for at in range(len(documents)):
            if again and alive[assigned[at]]:
                continue
            document = documents[at]
            if how == EXACT:
                low, high = starts[document], starts[document + 1]
                found, weights = components[low:high], values[low:high]
            else:
                found, weights = strong[0][document], strong[1][document]
            for number in range(len(found)):
                if found[number] < 0:
                    break
                near = local[found[number]]
                if near >= 0:
                    by = weights[number]
                    for entry in range(sizes[near], place[near]):
                        scores[who[entry]] += by * weight[entry]
            if how == INVERTED:
                _whole(document, centroids, rows, scores, dense)
            assigned[at] = _best(scores, alive)
            scores[:] = 0
        if again:
            break
        for at in range(len(documents)):
            members[assigned[at]] += 1
        if members.max() <= least or members.min() > least:
            break
        alive[:] = members > least
    local[known[:different]] = -1
    return count


@njit(cache=True)
def _best(scores, alive):
    best, highest = -1, np.float32(-1)
    for number in range(len(scores)):
        if scores[number] > highest and alive[number]:
            best, highest = number, scores[number]
    return best


@njit(cache=True)
def _shorten(sizes, different, who, weight, last, most):
    """Moves each list's `most` largest weights to its front, in `last` where they end."""
    for at in range(different):
        low, high = sizes[at], sizes[at + 1]
        if high - low > most:
            order = np.argsort(-weight[low:high], kind="mergesort")[:most]
            strong, by = who[low:high][order], weight[low:high][order]
            who[low : low + most] = strong
            weight[low : low + most] = by
        last[at] = min(high, low + most)


@njit(cache=True)
def _whole(document, centroids, rows, scores, dense):
    """Replaces every score above 0 by the whole inner product."""
    starts, components, values = rows
    for entry in range(starts[document], starts[document + 1]):
        dense[components[entry]] = values[entry]
    for number in range(len(scores)):
        if scores[number] > 0:
            found = np.float32(0)
            for entry in range(starts[centroids[number]], starts[centroids[number] + 1]):
                found += dense[components[entry]] * values[entry]
            scores[number] = found
    for entry in range(starts[document], starts[document + 1]):
        dense[components[entry]] = 0


@njit(cache=True, nogil=True)
def gather(documents, assigned, count, sizes):
    """Sorts a list's documents by their block, else as they were; `sizes` are those of the blocks. Returns how many."""
    place = np.zeros(count + 1, np.int64)
    for block in assigned:
        place[block + 1] += 1
    blocks = 0
    for block in range(count):
        if place[block + 1]:
            sizes[blocks] = place[block + 1]
            blocks += 1
        place[block + 1] += place[block]
    before = documents.copy()
    for at in range(len(before)):
        documents[place[assigned[at]]] = before[at]
        place[assigned[at]] += 1
    return blocks


@njit(cache=True, nogil=True)
def summarise(documents, rows, energy, length, dense, touched, kept):
    """Puts the components of a block's summary first in `touched`, their maxima in `kept`; returns how many there are.

    Args:
        documents: of the block.
        energy: share of the sum of maxima that the kept ones reach; 0: the `length` largest are kept.
        dense: dimension floats, all 0, and so again afterwards.
        touched, kept: dimension integers and floats.
    """
    starts, components, values = rows
    different = 0
    for document in documents:
        for entry in range(starts[document], starts[document + 1]):
            component = components[entry]
            if dense[component] == 0:
                touched[different] = component
                different += 1
            dense[component] = max(dense[component], values[entry])
    total, highest = 0.0, np.float32(0)
    for at in range(different):
        value = dense[touched[at]]
        dense[touched[at]] = 0
        kept[at] = value
        total += value
        highest = max(highest, value)
    if energy > 0:
        return _prefix(touched[:different], kept[:different], highest, energy * total, different)
    return _prefix(touched[:different], kept[:different], highest, np.inf, length)


@njit(cache=True)
def _prefix(found, weights, highest, mass, most):
    """Moves to the front the shortest prefix, by falling weight (then rising component), that reaches `mass` or `most` entries.

    Weights are counted in buckets; only those of the bucket where the line is crossed are sorted.
    """
    if most >= len(weights) and mass == np.inf:
        return len(weights)
    sums = np.zeros(BUCKETS)
    counts = np.zeros(BUCKETS, np.int64)
    aside, aside_weights = np.empty_like(found), np.empty_like(weights)
    scale = np.float32(BUCKETS - 0.5) / highest
    for weight in weights:
        bucket = int(weight * scale)
        sums[bucket] += weight
        counts[bucket] += 1
    bucket, held, number = BUCKETS - 1, 0.0, 0
    while bucket > 0 and held + sums[bucket] < mass and number + counts[bucket] < most:
        held += sums[bucket]
        number += counts[bucket]
        bucket -= 1
    # entries of higher buckets move to the front, those of this one behind them; the rest is not needed
    front, edge = 0, 0
    for at in range(len(weights)):
        here = int(weights[at] * scale)
        if here > bucket:
            found[front], weights[front] = found[at], weights[at]
            front += 1
        elif here == bucket:
            aside[edge], aside_weights[edge] = found[at], weights[at]
            edge += 1
    last = front + edge
    found[front:last] = aside[:edge]
    weights[front:last] = aside_weights[:edge]
    while front < last and held < mass and front < most:
        best = front
        for at in range(front + 1, last):
            if weights[at] > weights[best] or (weights[at] == weights[best] and found[at] < found[best]):
                best = at
        found[front], found[best] = found[best], found[front]
        weights[front], weights[best] = weights[best], weights[front]
        held += weights[front]
        front += 1
    return front


@njit(cache=True, nogil=True)
def by_component(ends, columns, codes, labels, lengths, local):
    """Turns a list's summaries from one row a block into one a component, ascending; returns how many there are.

    Args:
        ends: where each block's entries end.
        columns, codes: of the entries; components before, blocks afterwards.
        labels, lengths: filled with the component and the number of entries of each row.
        local: dimension integers, all -1, and so again afterwards.
    """
    different = 0
    for component in columns:
        if local[component] < 0:
            local[component] = 0
            labels[different] = component
            different += 1
    labels[:different].sort()
    for row in range(different):
        local[labels[row]] = row
        lengths[row] = 0
    for component in columns:
        lengths[local[component]] += 1
    place = np.zeros(different, np.int64)
    for row in range(1, different):
        place[row] = place[row - 1] + lengths[row - 1]
    components, values = columns.copy(), codes.copy()
    entry = 0
    for block in range(len(ends)):
        while entry < ends[block]:
            row = local[components[entry]]
            columns[place[row]], codes[place[row]] = block, values[entry]
            place[row] += 1
            entry += 1
    for row in range(different):
        local[labels[row]] = -1
    return different
