"""Seismic's search in numpy, as the paper writes it: what the kernels are held to, and what runs where numba's cannot."""

import numpy as np
from jaxtyping import Bool, Int32

from fewer.retrieval.index.forward import Forward
from fewer.retrieval.index.index import Hits
from fewer.retrieval.index.seismic_blocks import Blocks
from fewer.retrieval.index.seismic_options import SeismicHow
from fewer.retrieval.vectors import SparseVectors


class ReferenceSearcher:
    """One thread's search; of equally promising blocks, components and scores the earlier comes first."""

    def __init__(
        self,
        forward: Forward,
        blocks: Blocks,
        neighbours: Int32[np.ndarray, "documents nknn"],
        k: int,
        how: SeismicHow,
        alive: Bool[np.ndarray, " documents"] | None,
    ):
        self._rows, self._blocks, self._neighbours = forward.vectors(), blocks, neighbours
        self._k, self._how = k, how
        self._alive = np.ones(len(forward), np.bool_) if alive is None else alive

    def run(self, queries: SparseVectors, into: Hits) -> None:
        """Answer checked queries, one after the other."""
        for query in range(len(queries)):
            found, scored = self._answer(query, *queries.row(query))
            for place, (score, document) in enumerate(found):
                into.documents[query, place], into.scores[query, place] = document, score
            into.scored[query] = scored

    def _answer(self, number: int, components: np.ndarray, values: np.ndarray) -> tuple[list[tuple[float, int]], int]:
        dense = np.zeros(self._rows.dimension, np.float32)
        dense[components] = values
        best: list[tuple[float, int]] = []
        unseen = self._alive.copy()

        def score(document: int) -> None:
            if unseen[document]:
                unseen[document] = False
                its, weights = self._rows.row(document)
                best.append((float(dense[its] @ weights), document))
                best.sort(key=lambda found: -found[0])
                del best[self._k :]

        for turn, component in enumerate(components[np.argsort(-values, kind="stable")][: self._how.query_cut]):
            blocks = range(*self._blocks.list_blocks[component : component + 2].astype(int))
            summaries = self._blocks.summaries(int(component))
            promises = {block: float(dense[its] @ by) for block, (its, by) in zip(blocks, summaries, strict=True)}
            order = sorted(blocks, key=lambda block: -promises[block]) if turn == 0 and self._how.first_sorted else blocks
            for block in order:
                if len(best) < self._k or promises[block] >= self._how.heap_factor * best[-1][0]:
                    for document in self._blocks.postings[slice(*self._blocks.block_starts[block : block + 2])]:
                        score(int(document))
        for _, document in list(best) if self._how.n_knn else []:
            for neighbour in self._neighbours[document, : self._how.n_knn]:
                if neighbour >= 0:
                    score(int(neighbour))
        return best, int(self._alive.sum() - unseen.sum())
