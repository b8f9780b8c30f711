"""One thread's search in a Seismic index, by the compiled kernel."""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from fewer.kernels.cpu.asked import ask
from fewer.kernels.cpu.seismic import FIELDS
from fewer.kernels.dispatch import cpu_path
from fewer.retrieval.index.forward import Forward, aligned
from fewer.retrieval.index.index import Hits
from fewer.retrieval.index.seismic_blocks import Blocks
from fewer.retrieval.index.seismic_options import SeismicHow
from fewer.retrieval.vectors import SparseVectors

_PLACES = {name: at for at, name in enumerate(FIELDS)}


class KernelSearcher:
    """Owns the scratch: a dense query, a bit a document, room for a list's estimates."""

    def __init__(
        self,
        forward: Forward,
        blocks: Blocks,
        neighbours: Int32[np.ndarray, "documents nknn"],
        k: int,
        how: SeismicHow,
        alive: Bool[np.ndarray, " documents"] | None,
    ):
        count = len(forward)
        self._kernel = _kernel(cpu_path())
        longest = np.sort(np.diff(blocks.list_blocks.astype(np.int64)))[::-1]
        waiting = max(longest[: how.query_cut].sum() if how.random_until else longest[0], k)
        scratch = {
            # a line behind the last: the padding of stored vectors reads component `dimension`
            "dense": aligned(4 * (forward.dimension + 16)),
            "seen": _bits(count, alive),
            "estimates": np.empty(longest[0] + 1, np.float32),
            "queue": np.empty(waiting + 1, np.int64),
            "scored": np.empty(count, np.int32),
            "chosen": np.empty(2 * how.query_cut, np.int64),
        }
        arrays = {
            "list_blocks": blocks.list_blocks,
            "block_starts": blocks.block_starts,
            "postings": blocks.postings,
            "summary_rows": blocks.summary_rows,
            "summary_labels": blocks.summary_labels,
            "summary_starts": blocks.summary_starts,
            "summary_columns": blocks.summary_columns,
            "summary_codes": blocks.summary_codes,
            "summary_scales": blocks.summary_scales,
            "forward_starts": forward.starts,
            "forward_lines": forward.lines,
            "neighbours": neighbours,
            **scratch,
        }
        numbers = {
            "k": k,
            "query_cut": how.query_cut,
            "heap_factor": _float_bits(how.heap_factor),
            "n_knn": how.n_knn,
            "first_sorted": int(how.first_sorted),
            "random_until": how.random_until,
            "seed": how.seed,
            "dimension": forward.dimension,
            "wide": int(blocks.summary_columns.dtype.itemsize == 4),
            "line": forward.line,
            "form": forward.form,
            "unit": _float_bits(forward.unit),
            "nknn": neighbours.shape[1],
        }
        self._kept = tuple(arrays.values())
        self._job = (ctypes.c_int64 * len(FIELDS))()
        for name, array in arrays.items():
            self._job[_PLACES[name]] = _address(array)
        for name, value in numbers.items():
            self._job[_PLACES[name]] = value
        self._at = ctypes.addressof(self._job)

    def run(self, queries: SparseVectors, into: Hits) -> None:
        """Answer checked queries, one after the other."""
        ask(self._at, queries.starts, queries.components, queries.values, *into)
        self._kernel(self._at)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _float_bits(value: float) -> int:
    return int(np.float32(value).view(np.int32))


def _bits(count: int, alive: np.ndarray | None) -> np.ndarray:
    """A bit a document, set for those that are not alive."""
    if alive is None:
        return np.zeros(count // 8 + 1, np.uint8)
    return np.append(np.packbits(~alive, bitorder="little"), np.uint8(0))


@cache
def _kernel(path: str) -> Any:
    """Compiled once; called without the interpreter's lock."""
    from fewer.kernels.cpu import seismic

    made = seismic.avx512() if path == "avx512" else seismic.portable()
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_int64)(made.address)
    kernel.made = made  # type: ignore[attr-defined]  # keeps the compiled code alive
    return kernel
