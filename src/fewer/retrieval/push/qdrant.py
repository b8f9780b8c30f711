"""To Qdrant: sparse vectors, scored by inner product."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from fewer.errors import MissingExtraError, RetrievalError
from fewer.retrieval.index.index import Index
from fewer.retrieval.push.pushing import Batch, Progress, Pushed, Refused, Sender, checked, push
from fewer.retrieval.vectors import SparseVectors

NAME, ID = "terms", "id"
_SPACE = uuid.UUID("6a0c3a52-6a3c-5c56-9c6e-3f6c6f4a7e10")


def push_qdrant(
    client: Any,
    collection: str,
    ids: Sequence[str],
    vectors: SparseVectors | Index,
    documents: Sequence[Mapping[str, Any]] | None = None,
    name: str = NAME,
    batch: int = 256,
    resume: bool = True,
    progress: Progress | None = None,
) -> Pushed:
    """Every document as a point; the collection is made where it is not there.

    Qdrant numbers points, or names them by UUIDs: a document's is made from its id, which stands in the payload as `id`.

    Args:
        client: a `qdrant_client.QdrantClient`, or an address such as "http://localhost:6333".
        documents: other fields of each, such as title and text: the payload.
        name: of the sparse vector in a point.
        resume: ids that the collection holds are passed over; if not, they are replaced.

    Raises:
        MissingExtraError: qdrant-client is not installed.
        RetrievalError: ids or documents that do not fit, or a connection that broke.
    """
    found = checked(ids, vectors, documents, batch)
    return push(_Qdrant(_client(client), collection, name, found, documents), ids, found, batch, resume, progress)


def qdrant_query(queries: SparseVectors, row: int) -> Any:
    """One query as `client.query_points(collection, query=..., using="terms")` wants it."""
    components, values = queries.row(row)
    return _models().SparseVector(indices=components.tolist(), values=values.tolist())


def point_id(name: str) -> str:
    """The UUID of a document's point."""
    return str(uuid.uuid5(_SPACE, name))


class _Qdrant(Sender):
    def __init__(self, client: Any, collection: str, name: str, vectors: SparseVectors, documents: Any) -> None:
        self.client, self.collection, self.name = client, collection, name
        self.vectors, self.documents = vectors, documents
        self.ready = False

    def present(self, ids: list[str]) -> set[str]:
        self._make_collection()
        names = {point_id(name): name for name in ids}
        points = self.client.retrieve(self.collection, list(names), with_payload=False, with_vectors=False)
        return {names[str(point.id)] for point in points}

    def send(self, batch: Batch) -> list[Refused]:
        from qdrant_client.http.exceptions import UnexpectedResponse

        self._make_collection()
        points = [self._point(*pair) for pair in zip(batch.ids, batch.rows, strict=True)]
        try:
            self.client.upsert(self.collection, points=points, wait=True)
            return []
        except UnexpectedResponse as error:
            if error.status_code is None or not 400 <= error.status_code < 500:
                raise
            if len(points) == 1:
                return [Refused(batch.ids[0], f"{error.status_code} {error.content.decode(errors='replace')[:200]}")]
        # It takes a batch as a whole or not at all: find out which document it minds.
        alone = (Batch([name], [row]) for name, row in zip(batch.ids, batch.rows, strict=True))
        return [refusal for one in alone for refusal in self.send(one)]

    def _point(self, name: str, row: int) -> Any:
        fields = {} if self.documents is None else dict(self.documents[row])
        if fields.get(ID, name) != name:
            raise RetrievalError(f"document {name} has another `{ID}` among its fields: {fields[ID]!r}. Leave it out.")
        vector = {self.name: qdrant_query(self.vectors, row)}
        return _models().PointStruct(id=point_id(name), vector=vector, payload={**fields, ID: name})

    def _make_collection(self) -> None:
        if not self.ready and not self.client.collection_exists(self.collection):
            settings = {self.name: _models().SparseVectorParams()}
            self.client.create_collection(self.collection, vectors_config={}, sparse_vectors_config=settings)
        self.ready = True


def _models() -> Any:
    try:
        from qdrant_client import models
    except ImportError as error:
        raise MissingExtraError("Qdrant needs qdrant-client, which is not installed: pip install fewer[push].") from error
    return models


def _client(client: Any) -> Any:
    if not isinstance(client, str):
        return client
    _models()
    from qdrant_client import QdrantClient

    return QdrantClient(client)
