"""`fewer.load`: a folder that `fewer.save` wrote, as the model that it was."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fewer.core.selection_file import load_selections
from fewer.errors import ModelError, SelectionError
from fewer.weights.compact.entries import expanded
from fewer.weights.prune import PrunedLayer, Pruning
from fewer.weights.saving import RECORD, SELECTIONS

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def load(folder: str | Path, model: nn.Module | None = None) -> nn.Module:
    """The saved model, compact or not, bit for bit, with `model.fewer` as it was. Only safetensors and JSON are read.

    Args:
        folder: what `fewer.save` wrote; or any folder with config.json and safetensors in the layout of compressed-tensors
            (sparse-bitmask, sparse-24-bitmask), quantized ones excepted.
        model: the module to put the weights into, where the folder holds no Hugging Face configuration to build it from; it is
            changed in place and returned.

    Raises:
        ModelError: nothing there, a damaged file, or weights of another model. `model` is as it was then.
        SelectionError: damaged selections.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"{folder} is no folder. Give one that fewer.save wrote.")
    pruning = _pruning(folder)
    state = read_state(folder)
    model = _pretrained(folder, state) if model is None else _filled(model, state, folder)
    if pruning is not None:
        model.fewer = pruning  # type: ignore[assignment]
    return model


def read_state(folder: Path) -> dict[str, Tensor]:
    """The state dict of a folder's safetensors file, or of its shards, with compact weights expanded.

    Raises:
        ModelError: as `load`.
    """
    stored: dict[str, Tensor] = {}
    for path in _files(folder):
        stored |= _tensors(path)
    return expanded(stored)


def _files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.exists():
        return [folder / WEIGHTS]
    names = sorted(set(_json(index).get("weight_map", {}).values()))
    if not names or any(Path(name).name != name for name in names):
        raise ModelError(f"{index} names no shards beside it: it is damaged. Save the model again.")
    return [folder / name for name in names]


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"{path} is not there. Give a folder that fewer.save wrote, with all of its files.")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read: {error}. It is damaged or cut off; save the model again.") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}. It is damaged; save the model again.") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object: it is damaged. Save the model again.")
    return found


def _pretrained(folder: Path, state: dict[str, Tensor]) -> nn.Module:
    """A Hugging Face model of the folder's configuration with these weights."""
    if not (folder / "config.json").exists():
        raise ModelError(f"{folder} holds no config.json to build a model from. Give the module: fewer.load(folder, model).")
    import transformers

    given = _json(folder / "config.json")
    if given.get("quantization_config", {}).keys() - {"quant_method", "version", "sparsity_config"}:
        raise ModelError(f"{folder} holds quantized weights, which fewer does not read. Load it with transformers.")
    name = (given.get("architectures") or ["none"])[0]
    architecture = getattr(transformers, name, None)
    if architecture is None:
        raise ModelError(
            f"transformers has no {name}, which {folder} was saved as. Give the module: fewer.load(folder, model)."
        )
    config = transformers.AutoConfig.from_pretrained(folder)
    vars(config).pop("quantization_config", None)
    model, about = architecture.from_pretrained(
        None, config=config, state_dict=state, output_loading_info=True, ignore_mismatched_sizes=True
    )
    odd = {kind: sorted(map(str, about[f"{kind}_keys"])) for kind in ("missing", "unexpected", "mismatched")}
    if any(odd.values()):
        kind, keys = next((kind, keys) for kind, keys in odd.items() if keys)
        raise ModelError(f"{folder} does not hold a whole {name}: {len(keys)} weights are {kind}, such as {keys[0]}.")
    if (folder / "generation_config.json").exists():
        model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    return model


def _filled(model: nn.Module, state: dict[str, Tensor], folder: Path) -> nn.Module:
    mine = model.state_dict()
    stored_once = {mine[key].data_ptr() for key in state.keys() & mine.keys()}
    missing = [key for key in mine.keys() - state.keys() if mine[key].data_ptr() not in stored_once]
    for kind, keys in (("lacks", missing), ("has beside it", state.keys() - mine.keys())):
        if keys:
            raise ModelError(f"{folder} was saved from another model: it {kind} {sorted(keys)[0]}.")
    for key, tensor in state.items():
        if tensor.shape != mine[key].shape:
            raise ModelError(
                f"{folder} was saved from another model: {key} has shape {list(tensor.shape)}, not {list(mine[key].shape)}."
            )
    model.load_state_dict(state, strict=False)
    return model


def _pruning(folder: Path) -> Pruning | None:
    if not (folder / SELECTIONS).exists() or not (folder / RECORD).exists():
        return None
    record = _json(folder / RECORD)
    try:
        layers = tuple(PrunedLayer(**{**layer, "shape": tuple(layer["shape"])}) for layer in record["layers"])
        return Pruning(record["pruning"], load_selections(folder / SELECTIONS), layers, record["seconds"])
    except (KeyError, TypeError) as error:
        raise SelectionError(f"{folder / RECORD} is damaged or of an older fewer: {error}. Save the model again.") from None
