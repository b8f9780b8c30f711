"""Models by name, folder or hub id, as plain torch modules in evaluation mode."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewer.data.gguf import converted
from fewer.data.model_table import MODELS
from fewer.data.obtain import Found, obtain
from fewer.data.places import Places
from fewer.data.quiet import quiet
from fewer.data.sources import Hub, UnreachableError
from fewer.errors import DataError, FewerError, ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from fewer.data.efficientnet_lite import EfficientNetLite0
    from fewer.data.sentence_encoder import SentenceEncoder

Name = str | os.PathLike[str]


def get(name: str, models: Name | None = None) -> Found:
    """The verified files of a known model, downloaded when needed.

    Raises ModelError when the name is unknown, no source delivers, or a file differs from its sum.
    """
    if name not in MODELS:
        raise ModelError(f"No model is called {name!r}. Known: {', '.join(MODELS)}.")
    try:
        return obtain(MODELS[name], Places.find(models))
    except DataError as error:
        raise ModelError(str(error)) from error


def is_available(name: str, models: Name | None = None) -> bool:
    """Whether the known model can be had now, a download included. Never raises."""
    try:
        get(name, models)
    except (FewerError, OSError):
        return False
    return True


def load_causal_lm(
    name: Name, dtype: "torch.dtype | None" = None, models: Name | None = None
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A causal language model and its tokenizer.

    Args:
        name: `smollm2-135m`, a folder with config.json and safetensors or with one GGUF file, or a hub id.
        dtype: of the weights; float32 when not given.
        models: a folder of models to look into first; FEWER_MODELS when not given.

    Raises:
        ModelError: not found, of another kind, not readable, or with weights missing.
    """
    from transformers import AutoModelForCausalLM

    return _pair(AutoModelForCausalLM, _folder(name, "causal language model", models), dtype)


def load_masked_lm(
    name: Name = "splade-tiny", dtype: "torch.dtype | None" = None, models: Name | None = None
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A masked language model and its tokenizer; arguments and errors as `load_causal_lm`."""
    from transformers import AutoModelForMaskedLM

    return _pair(AutoModelForMaskedLM, _folder(name, "masked language model", models), dtype)


def load_sentence_encoder(
    name: Name = "minilm", dtype: "torch.dtype | None" = None, models: Name | None = None
) -> "SentenceEncoder":
    """An encoder that turns texts into unit vectors; arguments and errors as `load_causal_lm`."""
    from transformers import AutoModel

    from fewer.data.sentence_encoder import SentenceEncoder

    # mean pooling never reads BERT's pooler, which many encoders are stored without
    folder = _folder(name, "sentence encoder", models)
    return SentenceEncoder(*_pair(AutoModel, folder, dtype, unused="pooler."))


def load_image_classifier(name: str = "efficientnet-lite0", models: Name | None = None) -> "EfficientNetLite0":
    """EfficientNet-Lite0 with its ImageNet weights. Raises ModelError for another name, or when it cannot be had."""
    import torch

    from fewer.data.efficientnet_lite import EfficientNetLite0

    if name not in MODELS or MODELS[name].kind != "image classifier":
        raise ModelError(f"No image classifier is called {name!r}. Allowed: efficientnet-lite0.")
    weights = torch.load(get(name, models).path(".pth"), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        net = EfficientNetLite0()
    net.load_state_dict(weights, assign=True)
    return net.eval()


def _folder(name: Name, kind: str, models: Name | None) -> Path:
    """The folder of safetensors that `name` stands for."""
    text = os.fspath(name)
    if text in MODELS:
        if MODELS[text].kind != kind:
            allowed = ", ".join(entry.name for entry in MODELS.values() if entry.kind == kind)
            raise ModelError(f"{text} is a {MODELS[text].kind}, not a {kind}. Known: {allowed}; or give a folder or a hub id.")
        first = get(text, models).paths[0]
        path = first.parent if first.name == "config.json" else first
    elif Path(text).expanduser().exists():
        path = Path(text).expanduser()
    else:
        path = _snapshot(text, kind)
    return _checked(path)


def _snapshot(text: str, kind: str) -> Path:
    allowed = ", ".join(entry.name for entry in MODELS.values() if entry.kind == kind)
    try:
        if text.count("/") != 1 or text.startswith((".", "/", "~")):
            raise UnreachableError("it has not the form owner/name of a hub id")
        return Hub(text).snapshot()
    except UnreachableError as reason:
        raise ModelError(
            f"{text!r} is no {kind} that can be had: it is none of the known names ({allowed}), no folder, and {reason}."
        ) from reason


def _checked(path: Path) -> Path:
    """`path` when it is a folder that holds a model; a GGUF file is converted first."""
    from safetensors import SafetensorError, safe_open

    holds = sorted(inner.name for inner in path.iterdir()) if path.is_dir() else []
    ggufs = [path] if path.suffix == ".gguf" else [path / name for name in holds if name.endswith(".gguf")]
    if len(ggufs) == 1 and "config.json" not in holds:
        return converted(ggufs[0], Places.find().cache)
    weights = [name for name in holds if name.endswith(".safetensors")]
    if "config.json" not in holds or not weights:
        what = f"it holds {', '.join(holds[:6]) or 'nothing'}" + (", ..." if len(holds) > 6 else "")
        raise ModelError(
            f"{path} is no model: {what if path.is_dir() else 'it is a single file'}. "
            "Give a folder with config.json and *.safetensors, or with one *.gguf; pickled weights (.bin, .pt) are not read."
        )
    for name in weights:
        try:
            with safe_open(path / name, "pt") as file:
                compact = any(key.rpartition(".")[2] == "bitmask" for key in file.keys())  # noqa: SIM118 - it is no mapping
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path / name} is damaged ({error}). Download or save the model again.") from error
        if compact:
            raise ModelError(
                f"{path} holds weights without their zeros. fewer.load({str(path)!r}) reads it; "
                "fewer.save(fewer.load(...), folder) makes a folder that can be given here."
            )
    return path


def _pair(auto: Any, folder: Path, dtype: "torch.dtype | None", unused: str | None = None) -> tuple[Any, Any]:
    import torch
    from transformers import AutoTokenizer

    local = {"local_files_only": True, "trust_remote_code": False}
    with quiet():
        try:
            model, report = auto.from_pretrained(
                folder, dtype=dtype or torch.float32, use_safetensors=True, output_loading_info=True, **local
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        except Exception as error:  # configurations are open: transformers raises whatever a wrong field led to
            raise ModelError(f"{folder} cannot be loaded ({type(error).__name__}: {error}).") from error
    absent = sorted(key for key in report["missing_keys"] if unused is None or not key.startswith(unused))
    if absent:
        raise ModelError(
            f"{folder} lacks {len(absent)} tensors of a {type(model).__name__}, first {absent[0]}; they would be random. "
            "Give a folder with all weights, or use the loader of the model's own kind."
        )
    return model.eval(), tokenizer
