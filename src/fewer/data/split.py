"""Fixed splits: the same rows on every machine, and no row in two parts."""

import hashlib
from collections.abc import Iterable

import numpy as np

SEED = 0


def shuffled(rows: int, test: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test) of a seeded permutation; disjoint, together 0..rows-1."""
    order = np.random.default_rng(SEED).permutation(rows)
    return order[: rows - test], order[rows - test :]


def held_out(key: str, one_in: int = 3) -> bool:
    """Whether the group called `key` belongs to the test part; depends on nothing but its name."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % one_in == 0


def encode(labels: Iterable[str], classes: tuple[str, ...]) -> np.ndarray:
    """Each label's place in `classes`, int64."""
    place = {name: i for i, name in enumerate(classes)}
    return np.array([place[label] for label in labels], dtype=np.int64)
