"""Dialogues with the borders between their topics."""

import json
import os
from dataclasses import dataclass
from typing import Literal

from fewer.data.loaded import Loaded
from fewer.data.obtain import known, obtain
from fewer.data.places import Places
from fewer.errors import DataError


@dataclass(frozen=True)
class Dialogue:
    """One dialogue."""

    id: int
    utterances: tuple[str, ...]
    segments: tuple[int, ...]
    """Lengths, in utterances; [4, 6] has one border, after utterance 4."""
    part: Literal["train", "dev", "test"]


@dataclass(frozen=True)
class Dialogues(Loaded):
    """A set of dialogues; each says which part it belongs to."""

    dialogues: tuple[Dialogue, ...]


def load(name: str, data: str | os.PathLike[str] | None = None) -> Dialogues:
    """The dialogues `name`. Raises DataError when it is unknown, of another kind, cannot be had, or differs from its sum."""
    entry = known(name)
    if entry.kind != "dialogues":
        raise DataError(f"{name} is a set of kind {entry.kind}, not dialogues. Allowed: dialseg711, tiage, committee.")
    found = obtain(entry, Places.find(data))
    rows = [json.loads(line) for line in found.text(".jsonl").split("\n") if line]
    return Dialogues(
        name=name,
        source=found.source,
        dialogues=tuple(Dialogue(r["id"], tuple(r["utterances"]), tuple(r["segments"]), r["set"]) for r in rows),
    )
