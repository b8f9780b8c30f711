"""LLaDA and Dream checkpoints: their code comes with them, so loading one is running it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from fewer.attention.diffusion.dream import Dream
from fewer.attention.diffusion.llada import LLaDA
from fewer.attention.diffusion.sampler import Sampler
from fewer.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class _Family(NamedTuple):
    sampler: Sampler
    mask_token: int


FAMILIES = {"llada": _Family(LLaDA(), 126336), "Dream": _Family(Dream(), 151666)}
"""By the model type of the config: the sampler, and the mask token where the config names none."""


class Loaded(NamedTuple):
    """A masked-diffusion language model, ready to generate: `sampler(model, prompt)`."""

    model: nn.Module
    """In evaluation mode; its config says `mask_token_id`."""
    tokenizer: "PreTrainedTokenizerBase"
    sampler: Sampler
    """Of its family, with the published settings; `dataclasses.replace` changes them."""


def load(
    name: str | os.PathLike[str], *, trust_remote_code: bool = False, dtype: torch.dtype = torch.bfloat16, **options: Any
) -> Loaded:
    """A checkpoint of LLaDA ("GSAI-ML/LLaDA-8B-Instruct", "GSAI-ML/LLaDA-1.5") or Dream ("Dream-org/Dream-v0-Instruct-7B").

    Its own attention is left as it is: `attach` makes it sparse. The code was written for transformers of its time; what it
    needs of another version, its card says.

    Args:
        name: a hub id, or a folder that holds the checkpoint with its code.
        trust_remote_code: run the Python files of the checkpoint. Read them first; without it nothing is loaded.
        options: of transformers' `from_pretrained`: `device_map`, `revision`, ...

    Raises:
        ModelError: code is not trusted, the model is of neither family, or cannot be loaded.
    """
    if not trust_remote_code:
        raise ModelError(
            f"{os.fspath(name)} brings Python code that loading it would run. Read it, then give trust_remote_code=True."
        )
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    own = {"trust_remote_code": True, **({"local_files_only": True} if Path(name).is_dir() else {})}
    revision = {"revision": options["revision"]} if "revision" in options else {}
    try:
        config = AutoConfig.from_pretrained(name, **own, **revision)
        family = FAMILIES.get(config.model_type)
        if family is None:
            raise ModelError(
                f"{os.fspath(name)} is of type {config.model_type}; known: {', '.join(FAMILIES)}. Load any other bidirectional "
                "model with transformers and give it to a sampler."
            )
        model = AutoModel.from_pretrained(name, dtype=dtype, **own, **options)
        tokenizer = AutoTokenizer.from_pretrained(name, **own, **revision)
    except ModelError:
        raise
    except Exception as error:  # foreign code raises what it likes
        raise ModelError(f"{os.fspath(name)} cannot be loaded ({type(error).__name__}: {error}).") from error
    if getattr(model.config, "mask_token_id", None) is None:
        model.config.mask_token_id = family.mask_token
    return Loaded(model.eval(), tokenizer, family.sampler)
