"""To OpenSearch: vectors as `rank_features`, which its `neural_sparse` query scores by inner product.

OpenSearch 2.18 or later. It keeps 9 significant bits of a weight: scores differ by up to 0.4%.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fewer.errors import MissingExtraError, RetrievalError
from fewer.retrieval.index.index import Index
from fewer.retrieval.push.pushing import Batch, Progress, Pushed, Refused, Sender, checked, push
from fewer.retrieval.vectors import SparseVectors

FIELD = "terms"


def push_opensearch(
    client: Any,
    index: str,
    ids: Sequence[str],
    vectors: SparseVectors | Index,
    documents: Sequence[Mapping[str, Any]] | None = None,
    field: str = FIELD,
    term: Callable[[int], str] = str,
    batch: int = 500,
    resume: bool = True,
    progress: Progress | None = None,
) -> Pushed:
    """Every document through the bulk interface; the index is made where it is not there.

    Args:
        client: an `opensearchpy.OpenSearch`, or an address such as "http://localhost:9200".
        documents: other fields of each, such as title and text.
        term: names a component; by its number if not given. `opensearch_query` must be told the same.
        resume: ids that the index holds are passed over; if not, they are replaced.

    Raises:
        MissingExtraError: opensearch-py is not installed.
        RetrievalError: ids or documents that do not fit, two components of one name, or a connection that broke.
    """
    found = checked(ids, vectors, documents, batch)
    sender = _OpenSearch(_client(client), index, field, found, documents, term)
    pushed = push(sender, ids, found, batch, resume, progress)
    if sender.ready:  # something was asked or sent, so the index is there
        sender.client.indices.refresh(index=index)
    return pushed


def opensearch_query(
    queries: SparseVectors, row: int, field: str = FIELD, term: Callable[[int], str] = str, k: int = 10
) -> dict[str, Any]:
    """The body of a search with one query."""
    return {"size": k, "query": {"neural_sparse": {field: {"query_tokens": _weights(queries, row, term)}}}}


class _OpenSearch(Sender):
    def __init__(self, client: Any, index: str, field: str, vectors: SparseVectors, documents: Any, term: Any) -> None:
        self.client, self.index, self.field = client, index, field
        self.vectors, self.documents, self.term = vectors, documents, term
        self.ready = False

    def present(self, ids: list[str]) -> set[str]:
        self._make_index()
        answer = self.client.mget(index=self.index, body={"ids": ids}, _source=False)
        return {document["_id"] for document in answer["docs"] if document.get("found")}

    def send(self, batch: Batch) -> list[Refused]:
        from opensearchpy.helpers import streaming_bulk

        self._make_index()
        answers = streaming_bulk(
            self.client,
            (self._action(*pair) for pair in zip(batch.ids, batch.rows, strict=True)),
            chunk_size=len(batch.ids),
            raise_on_error=False,
            max_retries=3,  # where it answers that it is too busy
        )
        return [_refused(answer["index"]) for taken, answer in answers if not taken]

    def _action(self, name: str, row: int) -> dict[str, Any]:
        fields = {} if self.documents is None else dict(self.documents[row])
        if self.field in fields:
            raise RetrievalError(f"document {name} has a field {self.field!r} already: give the vectors another `field`.")
        source = {**fields, self.field: _weights(self.vectors, row, self.term)}
        return {"_op_type": "index", "_index": self.index, "_id": name, "_source": source}

    def _make_index(self) -> None:
        if not self.ready and not self.client.indices.exists(index=self.index):
            body = {"mappings": {"properties": {self.field: {"type": "rank_features"}}}}
            self.client.indices.create(index=self.index, body=body)
        self.ready = True


def _weights(vectors: SparseVectors, row: int, term: Callable[[int], str]) -> dict[str, float]:
    components, values = vectors.row(row)
    named = {term(c): v for c, v in zip(components.tolist(), values.tolist(), strict=True)}
    if len(named) != len(components):
        raise RetrievalError(f"two components of row {row} have one name; `term` must tell them apart.")
    return named


def _refused(answer: Mapping[str, Any]) -> Refused:
    error = answer.get("error", {})
    reason = error.get("reason", error) if isinstance(error, Mapping) else error
    return Refused(answer["_id"], f"{answer.get('status', '')} {reason}".strip())


def _client(client: Any) -> Any:
    if not isinstance(client, str):
        return client
    try:
        from opensearchpy import OpenSearch
    except ImportError as error:
        raise MissingExtraError("OpenSearch needs opensearch-py, which is not installed: pip install fewer[push].") from error
    return OpenSearch(client)
