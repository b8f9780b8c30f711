"""Who rated what, how, and when."""

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from fewer.data.loaded import Loaded
from fewer.data.obtain import Found, known, obtain
from fewer.data.places import Places
from fewer.errors import DataError


@dataclass(frozen=True, eq=False)
class Ratings(Loaded):
    """Ratings in order of time (ties by user and item); ids are the set's own."""

    users: Int64[np.ndarray, " ratings"]
    items: Int64[np.ndarray, " ratings"]
    values: Float32[np.ndarray, " ratings"]
    """0.5 to 5.0 by 0.5."""
    times: Int64[np.ndarray, " ratings"]
    """Seconds since 1970."""
    titles: Mapping[int, str]
    genres: Mapping[int, tuple[str, ...]]
    tags: tuple[tuple[int, int, str], ...]
    """(user, item, words)."""


def load(name: str = "movielens-small", data: str | os.PathLike[str] | None = None) -> Ratings:
    """The ratings `name`. Raises DataError when it is unknown, of another kind, cannot be had, or differs from its sum."""
    entry = known(name)
    if entry.kind != "ratings":
        raise DataError(f"{name} is a set of kind {entry.kind}, not ratings. Allowed: movielens-small.")
    found = obtain(entry, Places.find(data))
    rows = _rows(found, "ratings.csv")
    users, items, times = (np.array([int(r[c]) for r in rows], np.int64) for c in ("userId", "movieId", "timestamp"))
    values = np.array([float(row["rating"]) for row in rows], np.float32)
    order = np.lexsort((items, users, times))
    films = _rows(found, "movies.csv")
    return Ratings(
        name=name,
        source=found.source,
        users=users[order],
        items=items[order],
        values=values[order],
        times=times[order],
        titles={int(film["movieId"]): film["title"] for film in films},
        genres={int(film["movieId"]): _genres(film["genres"]) for film in films},
        tags=tuple((int(r["userId"]), int(r["movieId"]), r["tag"]) for r in _rows(found, "tags.csv")),
    )


def _rows(found: Found, file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(found.text(file), newline="")))


def _genres(text: str) -> tuple[str, ...]:
    return () if text == "(no genres listed)" else tuple(text.split("|"))
