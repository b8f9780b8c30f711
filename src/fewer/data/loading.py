"""One `load` for every data set: the kind of the set decides the loader, and so the type of what comes back."""

import importlib
import os

from fewer.data.loaded import Loaded
from fewer.data.obtain import known

_LOADERS = {
    "text": ("text", "read"),
    "images": ("images", "load"),
    "photographs": ("photographs", "load"),
    "table": ("tables", "load"),
    "sentences": ("sentences", "load"),
    "retrieval": ("retrieval", "load"),
    "ratings": ("ratings", "load"),
    "graph": ("graphs", "load"),
    "dialogues": ("dialogues", "load"),
    "depth": ("depth", "load"),
}


def load(name: str, data: str | os.PathLike[str] | None = None) -> Loaded:
    """The data set `name`, verified and split as always.

    Args:
        name: one of `fewer data list`.
        data: a folder to look into first; FEWER_DATA when not given.

    Returns:
        By kind: text -> `text.Text` (its calibration part), images -> `images.Images`, photographs ->
        `photographs.Photographs`, table -> `tables.Table`, sentences -> `sentences.Sentences`, retrieval ->
        `retrieval.Collection`, ratings -> `ratings.Ratings`, graph -> `graphs.Graph`, dialogues ->
        `dialogues.Dialogues`, depth -> `depth.SparseDepth`.

    Raises:
        DataError: the set is unknown, cannot be had, or differs from its sum.
    """
    module, function = _LOADERS[known(name).kind]
    return getattr(importlib.import_module(f"fewer.data.{module}"), function)(name, data=data)
