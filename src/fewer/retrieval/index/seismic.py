"""Seismic (Bruch et al. 2024, arXiv 2404.18812): inverted lists in blocks of similar documents, skipped by their summaries.

Lists are cut to their strongest postings, grouped into blocks, and each block gets a thinned upper envelope in 8 bits. A query
visits the lists of its strongest components, and scores, exactly, the documents of blocks whose summary promises to beat the
k-th best score so far.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Bool, Int32

from fewer.errors import RetrievalError
from fewer.kernels.dispatch import cpu_path
from fewer.retrieval.index.forward import Forward
from fewer.retrieval.index.index import Index, Searcher, options_of
from fewer.retrieval.index.seismic_blocks import Blocks, block
from fewer.retrieval.index.seismic_options import SeismicHow, SeismicOptions
from fewer.retrieval.index.seismic_pruning import prune
from fewer.retrieval.index.seismic_reference import ReferenceSearcher
from fewer.retrieval.index.seismic_search import KernelSearcher
from fewer.retrieval.vectors import SparseVectors

_NEIGHBOURS = SeismicHow(query_cut=10, heap_factor=0.7)  # how the build finds them
_CUTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
_FACTORS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)


@dataclass(frozen=True, eq=False)
class SeismicIndex(Index):
    """See the module's docstring. Built with `SeismicOptions`, searched with `SeismicHow`."""

    forward: Forward
    blocks: Blocks
    neighbours: Int32[np.ndarray, "documents nknn"]
    """Nearest neighbours of each document, -1 where there are fewer."""
    options: SeismicOptions
    entries: int
    """Of the vectors that it was built from: what `kept` is a share of."""
    how: SeismicHow = field(default_factory=SeismicHow)

    kind: ClassVar[str] = "seismic"
    Options: ClassVar[type] = SeismicOptions
    How: ClassVar[type] = SeismicHow

    @classmethod
    def build(cls, vectors: SparseVectors, **options: Any) -> Self:
        """Index the rows of `vectors`; `options` are the fields of `SeismicOptions`.

        Raises:
            RetrievalError: an unknown option or one out of range, or more than an index of this kind can address.
        """
        chosen = options_of(cls, options)
        if len(vectors) >= 2**31 or len(vectors.values) >= 2**32:
            raise RetrievalError(
                f"a seismic index holds up to 2^31 documents and 2^32 entries; given: {len(vectors):,} and "
                f"{len(vectors.values):,}. Build shards."
            )
        threads = chosen.threads or len(os.sched_getaffinity(0))
        postings = prune(vectors, chosen, threads)
        blocks = block(vectors, postings, chosen, threads)
        nothing = np.empty((len(vectors), 0), np.int32)
        index = cls(Forward.pack(vectors, chosen.values), blocks, nothing, chosen, len(vectors.values))
        if not chosen.nknn:
            return index
        return cls(index.forward, blocks, index._nearest(vectors, chosen.nknn, threads), chosen, index.entries)

    def _nearest(self, vectors: SparseVectors, count: int, threads: int) -> Int32[np.ndarray, "documents nknn"]:
        """Each document's neighbours by the index's own search, without itself."""
        found = np.full((len(vectors), count), -1, np.int32)
        asking = np.flatnonzero(np.diff(vectors.starts))
        if not len(asking):
            return found
        hits = self.search(vectors[asking], min(count + 1, len(self)), _NEIGHBOURS, threads).documents
        others = hits != asking[:, None]
        # others first, in their order; of count + 1 hits without the document itself the last is one too many
        order = np.argsort(~others, axis=1, kind="stable")[:, :count]
        kept = np.where(np.take_along_axis(others, order, 1), np.take_along_axis(hits, order, 1), -1)
        found[asking, : kept.shape[1]] = kept
        return found

    def __len__(self) -> int:
        return len(self.forward)

    @property
    def dimension(self) -> int:  # type: ignore[override]
        """Components lie in 0 .. dimension - 1."""
        return self.forward.dimension

    @property
    def kept(self) -> float:
        """Share of all postings that pruning left."""
        return len(self.blocks.postings) / max(self.entries, 1)

    def vectors(self) -> SparseVectors:
        """The stored vectors at their stored precision."""
        return self.forward.vectors()

    def vectors_of(self, rows: np.ndarray) -> SparseVectors:
        """Some of them."""
        return self.forward.take(rows).vectors()

    def searcher(self, k: int, how: SeismicHow, alive: Bool[np.ndarray, " documents"] | None = None) -> Searcher:
        """A search for one thread.

        Raises:
            RetrievalError: more neighbours asked for than were kept.
        """
        if how.n_knn > self.options.nknn:
            raise RetrievalError(
                f"n_knn is {how.n_knn}, but the index keeps {self.options.nknn} neighbours a document. "
                f"Build it with nknn={how.n_knn}."
            )
        kind = ReferenceSearcher if cpu_path() == "reference" else KernelSearcher
        return kind(self.forward, self.blocks, self.neighbours, k, how, alive)

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {**self.forward.arrays(), **self.blocks.arrays(), "neighbours": self.neighbours}

    def settings(self) -> dict[str, Any]:
        """For a file."""
        return {
            "forward": self.forward.settings(),
            "options": asdict(self.options),
            "entries": self.entries,
            "how": asdict(self.how),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        """From what `arrays` and `settings` gave."""
        return cls(
            Forward.from_arrays(arrays, settings["forward"]),
            Blocks.from_arrays(arrays),
            arrays["neighbours"],
            SeismicOptions(**settings["options"]),
            settings["entries"],
            SeismicHow(**settings["how"]),
        )

    def ladder(self) -> Sequence[SeismicHow]:
        """query_cut 1 .. 20 with heap_factor 1 .. 0.6, and with neighbours where the index has them."""
        near = sorted({0, self.options.nknn})
        return [SeismicHow(cut, factor, n) for cut in _CUTS for factor in _FACTORS for n in near]
