"""`fewer.save`: a pruned model as a folder that `from_pretrained` loads again, with its selections beside it."""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file, save_model
from torch import nn

from fewer.core.selection_file import load_selections, save_selections
from fewer.errors import ModelError
from fewer.measure.environment import environment
from fewer.weights.compact.entries import compact_state, unshared
from fewer.weights.compact.plan import Plan, plan, quantization_config
from fewer.weights.masks import apply, release
from fewer.weights.prune import Pruning

SELECTIONS = "selections.safetensors"
RECORD = "fewer.json"


def save(model: nn.Module, folder: str | Path, tokenizer: Any = None, overwrite: bool = False, compress: bool = False) -> Path:
    """Write weights, configuration, selections and the record of how they were made; the folder appears whole or not at all.

    A Hugging Face model is written by its own `save_pretrained` (safetensors), any other module as model.safetensors of
    its state dict. Held masks are made part of the weights first.

    Args:
        compress: store weights without their zeros, each as a bitmask and its kept values (2:4 packed where all of them are
            2:4), in the layout of compressed-tensors; weights that would not shrink stay dense. `fewer.load` reads the folder
            and today's `from_pretrained` refuses it. Minus zero becomes zero where nothing is kept; all else stays bit for bit.

    Raises:
        ModelError: when the folder exists (and `overwrite` is false), or cannot be written.
    """
    folder = Path(folder)
    made = make_beside(folder, overwrite)
    release(model)
    try:
        _write(model, made, tokenizer, compress)
        made.chmod(0o755)
        for file in filter(Path.is_file, made.rglob("*")):
            file.chmod(0o644)  # safetensors writes for its owner alone
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


def _write(model: Any, folder: Path, tokenizer: Any, compress: bool) -> None:
    made = plan(model) if compress else Plan(())
    state = {"state_dict": compact_state(model, made)} if made.layers else {}
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder, **state)
        if state:
            _configure(folder / "config.json", quantization_config(model, made))
    elif state:
        save_file(unshared(**state), folder / "model.safetensors", {"format": "pt"})
    else:
        save_model(model, str(folder / "model.safetensors"))
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    pruning = getattr(model, "fewer", None)
    if isinstance(pruning, Pruning):
        save_selections(pruning.selections, folder / SELECTIONS)
        record = {
            "pruning": pruning.configuration,
            "layers": [asdict(layer) for layer in pruning.layers],
            "seconds": pruning.seconds,
            "stored_as": made.form if state else "dense",
            "environment": environment(),
        }
        (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _configure(path: Path, compression: dict[str, Any]) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "quantization_config": compression}, indent=2) + "\n", encoding="utf-8")


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
