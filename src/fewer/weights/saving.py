"""`fewer.save`: a pruned model as a folder that `from_pretrained` loads again, with its selections beside it."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from fewer.core.selection_file import load_selections, save_selections
from fewer.errors import ModelError
from fewer.measure.environment import environment
from fewer.weights.masks import apply, release
from fewer.weights.prune import Pruning

SELECTIONS = "selections.safetensors"
RECORD = "fewer.json"


def save(model: nn.Module, folder: str | Path, tokenizer: Any = None, overwrite: bool = False) -> Path:
    """Write weights, configuration, selections and the record of how they were made; the folder appears whole or not at all.

    A Hugging Face model is written by its own `save_pretrained` (safetensors), any other module as model.safetensors of
    its state dict. Held masks are made part of the weights first.

    Raises:
        ModelError: when the folder exists (and `overwrite` is false), or cannot be written.
    """
    folder = Path(folder)
    made = make_beside(folder, overwrite)
    release(model)
    try:
        _write(model, made, tokenizer)
        made.chmod(0o755)
        _swap(made, folder)
    except OSError as error:
        raise ModelError(f"{folder} was not written: {error.strerror or error}. Nothing was left behind.") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def make_beside(folder: Path, overwrite: bool) -> Path:
    """A new empty folder beside `folder`, to become it. Raises ModelError as `save` does, so early that no work is lost."""
    if folder.exists() and not overwrite and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise ModelError(f"{folder} exists and is not empty. Choose another folder, or allow it to be replaced (--overwrite).")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise ModelError(f"{folder} cannot be written: {error.strerror or error}. Choose another folder.") from None


def _write(model: Any, folder: Path, tokenizer: Any) -> None:
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder)
    else:
        from safetensors.torch import save_model

        save_model(model, str(folder / "model.safetensors"))
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    pruning = getattr(model, "fewer", None)
    if isinstance(pruning, Pruning):
        save_selections(pruning.selections, folder / SELECTIONS)
        layers = [{"name": layer.name, "shape": layer.shape, "density": layer.density} for layer in pruning.layers]
        record = {"pruning": pruning.configuration, "layers": layers, "environment": environment()}
        (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _swap(made: Path, folder: Path) -> None:
    """Put `made` where `folder` is; the old content goes only when the new one is in place."""
    if not folder.exists():
        made.replace(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
    try:
        folder.replace(old / "was")
        made.replace(folder)
    except BaseException:  # an interrupt, too, must not cost the old content
        if (old / "was").exists() and not folder.exists():
            (old / "was").replace(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def reapply(model: nn.Module, folder: str | Path) -> nn.Module:
    """Zero again what a saved selection does not keep (after fine-tuning, say). Raises SelectionError for another model's."""
    return apply(model, load_selections(Path(folder) / SELECTIONS))
