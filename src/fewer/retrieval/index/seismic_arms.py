"""What a comparison of Seismic runs: the method, its variants, its random twins, and exhaustive search."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fewer.core.method import Kind, Method
from fewer.retrieval.index.seismic_options import Blocking, Summary


@dataclass(frozen=True)
class Exhaustive(Method):
    """Every document that shares a term with the query is scored."""

    slug: ClassVar[str] = "exhaustive"
    kind: ClassVar[Kind] = "dense"


@dataclass(frozen=True)
class SeismicSearch(Method):
    """Seismic. The budget is the share of all postings that the global threshold leaves."""

    slug: ClassVar[str] = "seismic"

    blocking: Blocking = "inverted-index-approx"
    summary: Summary = "energy"
    """ "fixed" summaries are as long as those by energy are on average."""
    vectors: Literal["learned", "raw"] = "learned"
    """Learned-like, or BM25's weights as they are."""

    def options(self) -> dict[str, Any]:
        """What the index is built with besides."""
        return {"blocking": self.blocking, "summary": self.summary, "seed": self.seed}

    @property
    def seeded(self) -> bool:
        """Centroids are drawn."""
        return True


@dataclass(frozen=True)
class ShuffledBlocks(SeismicSearch):
    """The twin of the blocking: blocks keep their sizes, documents are spread over them at random."""

    kind: ClassVar[Kind] = "random"

    def options(self) -> dict[str, Any]:
        return {**super().options(), "shuffle": True}


@dataclass(frozen=True)
class RandomPostings(SeismicSearch):
    """The twin of the pruning: each list keeps as many postings, whichever."""

    kind: ClassVar[Kind] = "random"

    def options(self) -> dict[str, Any]:
        return {**super().options(), "keep": "random"}


@dataclass(frozen=True)
class RandomOrder(SeismicSearch):
    """The twin of the summaries: blocks are opened at random until as many documents are scored, query by query."""

    kind: ClassVar[Kind] = "random"
