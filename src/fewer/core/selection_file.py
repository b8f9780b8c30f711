"""Selections on disk: packed bits in one safetensors file, written whole or not at all."""

import json
from pathlib import Path

from fewer.core.selection import Selection, Selections
from fewer.errors import SelectionError
from fewer.files import write_whole

FORMAT = "fewer selections 1"


def save_selections(selections: Selections, path: str | Path) -> Path:
    """One bit an entry. Raises OSError when the folder cannot be written; an older file stays as it was then."""
    from safetensors.torch import save

    about = {name: {"shape": list(s.mask.shape), "pattern": s.pattern} for name, s in selections.items()}
    content = save({name: s.packed() for name, s in selections.items()}, {"format": FORMAT, "selections": json.dumps(about)})
    return write_whole(path, content)


def load_selections(path: str | Path) -> Selections:
    """Raises SelectionError for a file that is missing, damaged, or not one that `save_selections` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise SelectionError(f"{path} holds no selections of fewer (its format is {metadata.get('format')!r}).")
            about = json.loads(metadata["selections"])
            return Selections(
                {
                    name: Selection.from_packed(file.get_tensor(name), tuple(entry["shape"]), entry["pattern"])
                    for name, entry in about.items()
                }
            )
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise SelectionError(f"{path} cannot be read as selections: {error}") from None
