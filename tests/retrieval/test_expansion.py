"""Vectors that look learned."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import VectorError
from fewer.retrieval.expansion import Expansion

texts = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8), min_size=1, max_size=12)


def by_hand(documents: list[list[str]], setting: Expansion) -> list[dict[str, float]]:
    """The formula, in dictionaries."""
    n = len(documents)
    holders = Counter(t for d in documents for t in set(d))
    both = Counter((s, t) for d in documents for s in set(d) for t in set(d) if s != t)
    mean = sum(map(len, documents)) / n
    near: dict[str, dict[str, float]] = {}
    for s in holders:
        pmi = {t: math.log(n * both[s, t] / (holders[s] * holders[t])) for t in holders if both[s, t] >= setting.together}
        best = sorted((-v, t) for t, v in pmi.items() if v > 0)[: setting.companions]
        near[s] = {t: v / best[0][0] for v, t in best}
    made = []
    for d in documents:
        damping = setting.k1 * (1 - setting.b + setting.b * len(d) / mean)
        own = {t: math.log(1 + (n - holders[t] + 0.5) / (holders[t] + 0.5)) * c / (c + damping) for t, c in Counter(d).items()}
        added: Counter[str] = Counter()
        for s, weight in own.items():
            for t, closeness in near[s].items():
                added[t] += weight * closeness
        for value, t in sorted((-v, t) for t, v in added.items())[: setting.document_terms]:
            own[t] = own.get(t, 0) - setting.document_share * value
        made.append({t: math.log1p(v) for t, v in own.items()})
    return made


@settings(max_examples=60, deadline=None)
@given(texts.filter(any))
def test_expanded_documents_are_those_of_the_formula(documents: list[list[str]]) -> None:
    setting = Expansion(companions=3, document_terms=20, document_share=0.5)
    made = setting.vectors(documents, [])
    wanted = by_hand(documents, setting)
    for number, expected in enumerate(wanted):
        components, values = made.documents.row(number)
        found = {made.terms[c]: v for c, v in zip(components, values, strict=True)}
        assert found == pytest.approx(expected, rel=1e-5)


@given(texts.filter(any), texts)
def test_a_text_keeps_its_own_terms_and_gains_at_most_so_many(documents: list[list[str]], queries: list[list[str]]) -> None:
    made = Expansion(companions=2, document_terms=3, query_terms=2).vectors(documents, queries)
    for given_texts, vectors, most in ((documents, made.documents, 3), (queries, made.queries, 2)):
        for number, text in enumerate(given_texts):
            own = {made.terms.index(t) for t in text if t in made.terms}
            found = set(vectors.row(number)[0].tolist())
            assert own <= found
            assert len(found) <= len(own) + most


def test_a_query_gains_the_company_of_its_terms() -> None:
    documents = [["red", "wine"], ["red", "wine"], ["blue", "sky"], ["blue", "sky"], ["green"]]
    made = Expansion(query_share=0.4).vectors(documents, [["red"], ["sky"], ["unknown"]])
    named = [
        {made.terms[c]: round(float(v), 6) for c, v in zip(*made.queries.row(number), strict=True)}
        for number in range(len(made.queries))
    ]
    one, added = round(math.log1p(1), 6), round(math.log1p(0.4), 6)
    assert named == [{"red": one, "wine": added}, {"sky": one, "blue": added}, {}]


def test_terms_met_together_once_are_no_companions() -> None:
    made = Expansion().vectors([["a", "b"], ["c"]], [["a"]])
    assert np.array_equal(made.queries.row(0)[0], [0])


def test_no_tokens_at_all_is_an_error() -> None:
    with pytest.raises(VectorError, match="no document has a token"):
        Expansion().vectors([[], []], [["a"]])


@pytest.mark.parametrize("wrong", [{"companions": 0}, {"query_share": -1}, {"b": 2}])
def test_settings_out_of_range_are_errors(wrong: dict) -> None:
    with pytest.raises(VectorError, match="given"):
        Expansion(**wrong)
