"""What a Seismic index is built and searched with; every default is the published one."""

from dataclasses import dataclass
from typing import Literal, get_args

from fewer.errors import RetrievalError
from fewer.retrieval.index.forward import Values

Pruning = Literal["global", "fixed"]
Blocking = Literal["inverted-index-approx", "inverted-index", "exact", "chunks"]
Summary = Literal["energy", "fixed"]
Keep = Literal["strongest", "random"]


@dataclass(frozen=True)
class SeismicOptions:
    """See the paper (arXiv 2404.18812), section 5. Raises RetrievalError for a value outside its range."""

    pruning: Pruning = "global"
    """ "global": the `dimension * n_postings` largest entries of the whole collection, of each list at most
    `n_postings * max_fraction`; "fixed": the `n_postings` largest entries of each list."""
    n_postings: int = 3500
    max_fraction: float = 1.5
    keep: Keep = "strongest"
    """ "random" is the twin: each list keeps as many postings as it otherwise would, whichever."""
    blocking: Blocking = "inverted-index-approx"
    """How the documents of a list are grouped. Each joins the most similar of some documents drawn as centroids: by the whole
    inner product ("exact"), by that of the centroids that share a strong component ("inverted-index"), or by the share of the
    document's `doc_cut` strongest components ("inverted-index-approx"). "chunks" cuts the list, sorted by value, every
    `block_size` documents."""
    centroid_fraction: float = 0.1
    """Centroids drawn, as a share of the list."""
    min_cluster_size: int = 2
    """Clusters of so few documents are dissolved, and their documents join the best of the others."""
    doc_cut: int = 15
    block_size: int = 10
    shuffle: bool = False
    """The twin of the blocking: its blocks keep their sizes, and the list's documents are spread over them at random."""
    summary: Summary = "energy"
    """Of a block's component-wise maxima stay the largest that hold `summary_energy` of their sum ("energy"), or the
    `summary_length` largest ("fixed")."""
    summary_energy: float = 0.4
    summary_length: int = 32
    values: Values = "float16"
    """How stored vectors keep their values."""
    nknn: int = 0
    """Nearest neighbours kept for each document, found with the index itself."""
    seed: int = 0
    threads: int = 0
    """Of the build; 0 takes all that this process may use. The index does not depend on it."""

    def __post_init__(self) -> None:
        for name, allowed in (("pruning", Pruning), ("keep", Keep), ("blocking", Blocking), ("summary", Summary)):
            if getattr(self, name) not in get_args(allowed):
                raise RetrievalError(f"{name} must be one of {', '.join(get_args(allowed))}; given: {getattr(self, name)!r}.")
        for name in ("n_postings", "doc_cut", "block_size", "summary_length"):
            if getattr(self, name) < 1:
                raise RetrievalError(f"{name} must be at least 1; given: {getattr(self, name)}.")
        for name in ("min_cluster_size", "nknn", "seed", "threads"):
            if getattr(self, name) < 0:
                raise RetrievalError(f"{name} must be at least 0; given: {getattr(self, name)}.")
        for name in ("centroid_fraction", "summary_energy"):
            if not 0 < getattr(self, name) <= 1:
                raise RetrievalError(f"{name} must be above 0 and at most 1; given: {getattr(self, name)}.")
        if not self.max_fraction >= 1:
            raise RetrievalError(f"max_fraction must be at least 1; given: {self.max_fraction}.")


@dataclass(frozen=True)
class SeismicHow:
    """How a Seismic index is searched. Raises RetrievalError for a value outside its range."""

    query_cut: int = 10
    """Lists visited: those of the query's so many strongest components."""
    heap_factor: float = 0.7
    """A block whose summary promises less than this times the k-th best score so far is skipped: 0 skips none, larger skips
    more."""
    n_knn: int = 0
    """Neighbours of each document found that are scored at the end; the index must have been built with at least so many."""
    first_sorted: bool = True
    """Visit the first list's blocks from the most promising on."""
    random_until: int = 0
    """The twin of the summaries: above 0, the blocks of all visited lists are opened in random order, none skipped, until so
    many documents have been scored."""
    seed: int = 0
    """Of that order."""

    def __post_init__(self) -> None:
        if self.query_cut < 1:
            raise RetrievalError(f"query_cut must be at least 1; given: {self.query_cut}.")
        if not 0 <= self.heap_factor < float("inf"):
            raise RetrievalError(f"heap_factor must be at least 0; given: {self.heap_factor}.")
        for name in ("n_knn", "random_until", "seed"):
            if getattr(self, name) < 0:
                raise RetrievalError(f"{name} must be at least 0; given: {getattr(self, name)}.")
