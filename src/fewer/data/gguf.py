"""GGUF models as float32 safetensors, converted once.

De-quantising SmolLM2-135M takes many seconds at each load, its safetensors copy is mapped in a tenth of one; so the copy
is kept in the cache, under the checksum of the file it was made from.
"""

import shutil
from pathlib import Path

from filelock import FileLock

from fewer.data.files import digest
from fewer.data.quiet import quiet
from fewer.errors import ModelError


def converted(gguf: Path, cache: Path) -> Path:
    """The folder with the safetensors copy of the causal model in `gguf`, its configuration and its tokenizer.

    A conversion shows its progress on standard error. Raises ModelError when transformers cannot read the file.
    """
    ready = cache / "converted" / f"{gguf.stem}-{digest(gguf)[:16]}"
    if ready.exists():
        return ready
    try:
        ready.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(ready.with_name(f".{ready.name}.lock")):
            if not ready.exists():  # another process may have made it meanwhile
                _place(gguf, ready)
    except OSError as error:
        raise ModelError(
            f"The float copy of {gguf} cannot be kept in {cache} ({error}). Set FEWER_CACHE to another folder."
        ) from error
    return ready


def _place(gguf: Path, ready: Path) -> None:
    made = ready.with_name(f".{ready.name}.tmp")
    shutil.rmtree(made, ignore_errors=True)  # of a process that was killed: the lock is ours
    try:
        _convert(gguf, made)
        made.replace(ready)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _convert(gguf: Path, into: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        try:
            model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        except Exception as error:  # readers of GGUF raise whatever the broken field led to
            raise ModelError(f"{gguf} cannot be read as a GGUF causal model ({type(error).__name__}: {error}).") from error
        # The weights are plain floats now; with these left, transformers refuses to save them.
        del model.hf_quantizer, model.config.quantization_config
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)
