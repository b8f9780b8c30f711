"""The endpoints of an index: search, explain, documents, merge, what was measured."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.params import Depends

from fewer.data.retrieval import Document
from fewer.errors import RetrievalError
from fewer.retrieval.texts.text_index import Answer, Explanation, TextIndex
from fewer.retrieval.vectors import SparseVectors
from fewer.serve import schemas
from fewer.serve.shelf import NAME, Shelf
from fewer.serve.workers import Workers

TERMS = 64
"""Terms of a query that an answer names."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ProblemResponse, "description": about}
    for status, about in (
        (403, "the server is read-only, or another site's page asked"),
        (404, "no such index or document"),
        (413, "the body is too large"),
        (422, "a value that is not allowed"),
        (503, "too many requests wait"),
    )
}


class Call:
    """What an endpoint works with: the index of the path, or the first, and the threads."""

    def __init__(self, name: str, index: TextIndex, workers: Workers, read_only: bool):
        self.name = name
        self.index = index
        self.run = workers.run
        self._read_only = read_only

    def write(self, function: Callable[..., Any], *args: Any) -> Any:
        """As `run`, where the server may write."""
        if self._read_only:
            raise HTTPException(403, "this server is read-only. Start it without --read-only to change an index.")
        return self.run(function, *args)


def router(named: bool) -> APIRouter:
    """The endpoints, below /api/{index} when `named`, else below /api for the first index."""

    def named_call(request: Request, index: Annotated[str, Path(pattern=NAME, description="Name of an index.")]) -> Call:
        return _call(request, index)

    def first_call(request: Request) -> Call:
        shelf: Shelf = request.app.state.shelf
        return _call(request, shelf.first)

    api = APIRouter(prefix="/api/{index}" if named else "/api", tags=["named index" if named else "index"], responses=PROBLEMS)
    call: Any = Depends(named_call if named else first_call)

    @api.post("/search")
    async def search(asked: schemas.SearchRequest, call: Call = call) -> schemas.SearchResponse:
        """The k best documents for a text or a vector."""
        vector = _vector(asked.vector, call.index)
        return _answer(call, await call.run(call.index.search, asked.query, asked.k, asked.mode, vector))

    @api.get("/search")
    async def search_by_get(
        q: Annotated[str, Query(max_length=schemas.QUERY, description="The query.")],
        k: schemas.K | None = None,
        mode: schemas.Mode | None = None,
        call: Call = call,
    ) -> schemas.SearchResponse:
        """The same for a text, by GET."""
        return _answer(call, await call.run(call.index.search, q, k, mode))

    @api.post("/explain")
    async def explain(asked: schemas.ExplainRequest, call: Call = call) -> schemas.ExplainResponse:
        """Which terms of a query a document has: query weight x document weight = contribution to the sparse score."""
        await _must_exist(call, asked.id)
        return _explained(await call.run(call.index.explain, asked.query, asked.id, _vector(asked.vector, call.index)))

    @api.get("/explain")
    async def explain_by_get(
        q: Annotated[str, Query(max_length=schemas.QUERY)], id: Annotated[str, Query(max_length=512)], call: Call = call
    ) -> schemas.ExplainResponse:
        """The same for a text, by GET."""
        await _must_exist(call, id)
        return _explained(await call.run(call.index.explain, q, id))

    @api.post("/documents", status_code=201)
    async def add(asked: schemas.AddRequest, call: Call = call) -> schemas.AddResponse:
        """Add or replace documents. They are on disk when this answers."""
        given = [Document(new.id, new.title, new.text) for new in asked.documents]
        vectors = _vectors(asked.documents, call.index)
        added = await call.write(call.index.add, given, vectors)
        return schemas.AddResponse(added=added, documents=len(call.index))

    @api.post("/documents/delete")
    async def delete_many(asked: schemas.DeleteRequest, call: Call = call) -> schemas.DeleteResponse:
        """Delete documents; ids that are not there are passed over."""
        deleted = await call.write(call.index.delete, asked.ids)
        return schemas.DeleteResponse(deleted=deleted, documents=len(call.index))

    @api.get("/documents/{id:path}")
    async def get(id: str, call: Call = call) -> schemas.StoredDocument:
        """One document as it is kept."""
        held = await _must_exist(call, id)
        return schemas.StoredDocument(id=held.id, title=held.title, text=held.text)

    @api.delete("/documents/{id:path}")
    async def delete(id: str, call: Call = call) -> schemas.DeleteResponse:
        """Delete one document."""
        if not await call.write(call.index.delete, [id]):
            raise HTTPException(404, f"no document has the id {id!r}.")
        return schemas.DeleteResponse(deleted=1, documents=len(call.index))

    @api.post("/merge")
    async def merge(call: Call = call) -> dict[str, Any]:
        """Put all segments together and drop what was deleted; searches go on meanwhile. Says what came of it."""
        await call.write(call.index.merge)
        return call.index.store.describe()

    @api.get("/measured")
    async def measured(call: Call = call) -> dict[str, Any]:
        """Recall and time of this index beside the exhaustive one and random ones, measured when it was made."""
        found = await call.run(lambda: call.index.measured)
        if found is None:
            raise HTTPException(404, "nothing was measured on this index: it was made with a fixed --kind, or it is too small.")
        return found

    return api


def _call(request: Request, name: str) -> Call:
    state = request.app.state
    return Call(name, state.shelf[name], state.workers, state.read_only)


async def _must_exist(call: Call, name: str) -> Any:
    try:
        return await call.run(call.index.store.document, name)
    except RetrievalError:  # unknown, or no id at all
        raise HTTPException(404, f"no document has the id {name[:80]!r}.") from None


def _vector(given: schemas.Vector | None, index: TextIndex) -> SparseVectors | None:
    """Raises VectorError when it is not sorted, or does not fit the index."""
    if given is None:
        return None
    lengths = [0, len(given.components)]
    return SparseVectors(lengths, given.components, given.values, index.store.dimension)  # type: ignore[arg-type]


def _vectors(documents: list[schemas.NewDocument], index: TextIndex) -> SparseVectors | None:
    with_vector = [new for new in documents if new.vector is not None]
    if not with_vector:
        return None
    if len(with_vector) < len(documents):
        raise RetrievalError("give all documents of a request a vector, or none of them.")
    rows = [row for new in documents if (row := _vector(new.vector, index)) is not None]
    return SparseVectors.concatenate(rows)


def _answer(call: Call, answer: Answer) -> schemas.SearchResponse:
    return schemas.SearchResponse(
        index=call.name,
        mode=answer.mode,
        results=[
            schemas.Result(
                id=hit.id,
                score=hit.score,
                title=hit.title,
                excerpt=hit.excerpt.text,
                marks=list(hit.excerpt.marks),
                cut=hit.excerpt.cut,
                parts=hit.parts,
            )
            for hit in answer.hits
        ],
        terms=_terms(answer.terms[:TERMS]),
        documents=len(call.index),
        encode_ms=answer.encode_seconds * 1e3,
        search_ms=answer.search_seconds * 1e3,
    )


def _explained(found: Explanation) -> schemas.ExplainResponse:
    return schemas.ExplainResponse(
        id=found.id,
        title=found.title,
        score=found.score,
        terms=[
            schemas.Matched(term=match.term, query=match.query, document=match.document, contribution=match.contribution)
            for match in found.terms
        ],
        missing=_terms(found.missing[:TERMS]),
    )


def _terms(terms: tuple[tuple[str, float], ...]) -> list[schemas.Term]:
    return [schemas.Term(term=term, weight=weight) for term, weight in terms]
