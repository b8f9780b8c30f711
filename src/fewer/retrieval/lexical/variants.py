"""The BM25 family (Kamphuis et al. 2020, "Which BM25 Do You Mean?"): how rare a term is, and how much a document has of it.

A score is the sum over query terms of idf(term) * gain(times in the document). In "bm25l" and "bm25+" a term gains something
even where it does not occur, the same for every document.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64

Variant = Literal["robertson", "lucene", "atire", "bm25l", "bm25+"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)


def idf(variant: Variant, found_in: Float64[np.ndarray, " terms"], documents: int) -> Float64[np.ndarray, " terms"]:
    """How rare terms are that occur in `found_in` of the documents. Robertson's is cut at 0: half of them or more."""
    if variant == "robertson":
        return np.log(np.maximum((documents - found_in + 0.5) / (found_in + 0.5), 1))
    if variant == "lucene":
        return np.log1p((documents - found_in + 0.5) / (found_in + 0.5))
    if variant == "atire":
        return np.log(documents / found_in)
    if variant == "bm25l":
        return np.log((documents + 1) / (found_in + 0.5))
    return np.log((documents + 1) / found_in)


def gain(
    variant: Variant, times: Float64[np.ndarray, " n"], length: Float64[np.ndarray, " n"], k1: float, b: float, delta: float
) -> Float64[np.ndarray, " n"]:
    """What occurring so many times is worth in a document of a `length` in units of the mean one."""
    norm = 1 - b + b * length
    if variant in ("robertson", "lucene"):
        return times / (times + k1 * norm)
    if variant == "bm25l":
        share = times / norm + delta
        return (k1 + 1) * share / (k1 + share)
    return (k1 + 1) * times / (times + k1 * norm) + (delta if variant == "bm25+" else 0)


def gain_of_none(variant: Variant, k1: float, delta: float) -> float:
    """What a term is worth where it does not occur."""
    if variant == "bm25l":
        return (k1 + 1) * delta / (k1 + delta)
    return delta if variant == "bm25+" else 0.0
