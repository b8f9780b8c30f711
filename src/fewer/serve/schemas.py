"""The bodies of requests and answers, with a bound on everything that can grow."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST = 1000
"""Results, documents or ids in one request."""
QUERY = 2_000
"""Characters of a query."""
TEXT = 100_000
"""Characters of a document."""
COMPONENTS = 20_000
"""Of one vector."""

Mode = Literal["sparse", "dense", "fused"]
Id = Annotated[str, Field(min_length=1, max_length=512, description="An id of your own; an id that is there is replaced.")]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
K = Annotated[int, Field(ge=1, le=MOST, description="How many documents; 10, or all when there are fewer, when not given.")]


class Strict(BaseModel):
    """Names that are not known are an error, and a number is not made of a text."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Vector(Strict):
    """A sparse vector: components ascend, values are above 0."""

    components: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=COMPONENTS)]
    values: Annotated[list[Weight], Field(min_length=1, max_length=COMPONENTS)]


class Asked(Strict):
    """A query: a text, or a vector of your own encoder."""

    query: Annotated[str | None, Field(max_length=QUERY)] = None
    vector: Vector | None = None

    @model_validator(mode="after")
    def _one(self) -> "Asked":
        if (self.query is None) == (self.vector is None):
            raise ValueError("give a query or a vector, one of them")
        return self


class SearchRequest(Asked):
    """What to search for."""

    k: K | None = None
    mode: Annotated[Mode | None, Field(description="fused where the index has dense vectors, when not given.")] = None


class ExplainRequest(Asked):
    """A query and a document."""

    id: Id


class NewDocument(Strict):
    """A document to add."""

    id: Id
    title: Annotated[str, Field(max_length=2_000)] = ""
    text: Annotated[str, Field(max_length=TEXT)]
    vector: Annotated[Vector | None, Field(description="In place of what the index's encoder makes of the text.")] = None


class AddRequest(Strict):
    """Documents to add or replace; with vectors: all of them, or none."""

    documents: Annotated[list[NewDocument], Field(min_length=1, max_length=MOST)]


class DeleteRequest(Strict):
    """Documents to delete."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=MOST)]


class Result(BaseModel):
    """One document found."""

    id: str
    score: float
    title: str
    excerpt: str
    marks: Annotated[list[tuple[int, int]], Field(description="start, stop: characters of the excerpt (code points) to mark.")]
    cut: Annotated[tuple[bool, bool], Field(description="Whether the text goes on before and after the excerpt.")]
    parts: Annotated[dict[str, float], Field(description="Its scores in the lists that were fused.")]


class Term(BaseModel):
    """A term of the query."""

    term: str
    weight: float


class SearchResponse(BaseModel):
    """Documents, best first."""

    index: str
    mode: Mode
    results: list[Result]
    terms: Annotated[list[Term], Field(description="What was searched for, heaviest first, at most 64.")]
    documents: Annotated[int, Field(description="How many the index holds.")]
    encode_ms: float
    search_ms: float


class Matched(BaseModel):
    """A term that query and document share."""

    term: str
    query: Annotated[float, Field(description="Its weight in the query.")]
    document: Annotated[float, Field(description="Its stored weight in the document.")]
    contribution: Annotated[float, Field(description="query x document: what it adds to the score.")]


class ExplainResponse(BaseModel):
    """Why a document has its sparse score: the sum of the contributions."""

    id: str
    title: str
    score: float
    terms: list[Matched]
    missing: Annotated[list[Term], Field(description="Terms of the query that the document lacks.")]


class StoredDocument(BaseModel):
    """A document as it is kept."""

    id: str
    title: str
    text: str


class AddResponse(BaseModel):
    """They are on disk."""

    added: int
    documents: int


class DeleteResponse(BaseModel):
    """They are gone."""

    deleted: Annotated[int, Field(description="How many of the ids were there.")]
    documents: int


class IndexState(BaseModel):
    """One index."""

    name: str
    documents: int
    modes: list[Mode]
    encoder: str | None
    dense: str | None
    kind: str
    source: str | None
    measured: Annotated[bool, Field(description="Whether recall and time were measured when it was made.")]


class Health(BaseModel):
    """The server answers; the first index is the one meant when none is named."""

    status: Literal["ok"]
    version: str
    read_only: bool
    indexes: list[IndexState]


class Problem(BaseModel):
    """What went wrong."""

    status: int
    message: str
    where: str | None = None


class ProblemResponse(BaseModel):
    """Every answer of 400 and above."""

    error: Problem
