import numpy as np
import pytest
import torch

from fewer.data.models import get, is_available, load_masked_lm
from fewer.errors import ModelError, VectorError
from fewer.retrieval.encoders import splade
from fewer.retrieval.encoders.sparse_encoder import SentenceTransformersSparse
from fewer.retrieval.encoders.splade import Splade

pytestmark = pytest.mark.skipif(not is_available("splade-tiny"), reason="splade-tiny cannot be had here")

TEXTS = [
    "the capital of France is Paris",
    "",
    "Sparse vectors, row by row: what every index is built from and asked with. " * 3,
    "x",
    "Return the k best documents of each query by inner product.",
    "word " * 400,
]


@pytest.fixture(scope="module")
def encoder():
    return Splade.load()


@pytest.fixture(scope="module")
def plain():
    """Text by text, all logits at once: the formula."""
    model, tokenizer = load_masked_lm("splade-tiny")
    rows = []
    for text in TEXTS:
        with torch.inference_mode():
            tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            rows.append(torch.log1p(torch.relu(model(**tokens).logits)).amax(1)[0])
    return torch.stack(rows).numpy()


def test_batches_give_what_a_plain_loop_gives(encoder, plain):
    assert np.abs(encoder.encode(TEXTS).to_scipy().toarray() - plain).max() < 1e-5


@pytest.mark.parametrize(("tokens", "logits"), [(8, 1), (64, 40_000), (100_000, 10**9)])
def test_neither_batch_nor_chunk_changes_a_vector(encoder, plain, monkeypatch, tokens, logits):
    monkeypatch.setattr(splade, "TOKENS", tokens)
    monkeypatch.setattr(splade, "LOGITS", max(logits, 3000 * tokens))
    assert np.abs(encoder.encode(TEXTS).to_scipy().toarray() - plain).max() < 1e-5


def test_the_heaviest_terms_are_kept_when_so_asked(plain):
    cut = Splade.load(terms=5).encode(TEXTS)
    assert np.diff(cut.starts).max() == 5
    for row, weights in enumerate(plain):
        assert cut.row(row)[1].sum() == pytest.approx(np.sort(weights)[-5:].sum(), rel=1e-5)


def test_terms_have_names(encoder):
    components, values = encoder.encode(TEXTS[:1]).row(0)
    best = components[np.argsort(-values)[:3]]
    assert {encoder.term(int(component)) for component in best} == {"capital", "paris", "france"}


def test_no_texts_are_no_rows(encoder):
    assert len(encoder.encode([])) == 0


def test_the_fingerprint_tells_options_apart_and_is_the_same_each_time(encoder):
    assert encoder.fingerprint(True) == encoder.fingerprint(False) == Splade.load().fingerprint(False)
    assert (
        len({encoder.fingerprint(False), Splade.load(terms=5).fingerprint(False), Splade.load(longest=9).fingerprint(False)})
        == 3
    )


def test_options_out_of_range_and_unknown_models_are_refused():
    with pytest.raises(VectorError, match="terms at least 1; given: 256, 0"):
        Splade.load(terms=0)
    with pytest.raises(ModelError, match="not a masked language model"):
        Splade.load("minilm")


def test_a_sparse_encoder_of_sentence_transformers_gives_the_same_vectors(encoder):
    pytest.importorskip("sentence_transformers")
    other = SentenceTransformersSparse.load(get("splade-tiny").paths[0].parent)
    texts = TEXTS[:5]
    assert other.dimension == encoder.dimension
    assert np.abs((other.encode(texts).to_scipy() - encoder.encode(texts).to_scipy()).toarray()).max() < 1e-5
    assert other.fingerprint(True) != other.fingerprint(False)
    assert other.term(3000) == encoder.term(3000)


def test_what_is_no_sparse_encoder_is_refused(tmp_path):
    pytest.importorskip("sentence_transformers")
    with pytest.raises(ModelError, match="no SparseEncoder"):
        SentenceTransformersSparse.load(tmp_path)
