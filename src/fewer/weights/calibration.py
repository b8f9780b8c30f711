"""Calibration and test tokens of a language model: which text, which windows."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from fewer.core import stream
from fewer.data import text
from fewer.errors import CalibrationError


def text_of(name: str | None, split: text.Split) -> tuple[str, str]:
    """(name of the set, its text). `name` is a known text set, or a text file, which has no parts and no name ("").

    The default is WikiText-2 where FEWER_DATA has it, else Python's language reference.

    Raises:
        DataError, CalibrationError: for a set that cannot be had, or a file that cannot be read as text.
    """
    if name is None:
        found = text.default_text(split)
        return found.name, found.text
    if Path(name).is_file():
        try:
            return "", Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CalibrationError(f"{name} cannot be read as text: {error}. Give a UTF-8 text file.") from None
    return name, text.load(name, split)


def tokens_of(tokenizer: Any, words: str) -> Int[Tensor, " tokens"]:
    """Token ids of one long text, without special tokens."""
    return tokenizer(words, return_tensors="pt", verbose=False, add_special_tokens=False).input_ids[0].long()


def draw_tokens(tokenizer: Any, words: str, sequences: int, length: int, seed: int) -> Int[Tensor, "sequences length"]:
    """Windows from places drawn by the seed. Raises CalibrationError when none are asked for or the text is too short."""
    return draw_windows(tokens_of(tokenizer, words), sequences, length, seed)


def draw_windows(tokens: Int[Tensor, " tokens"], sequences: int, length: int, seed: int) -> Int[Tensor, "sequences length"]:
    """Windows of `length` from places drawn by the seed; they may overlap."""
    if sequences < 1 or len(tokens) < length:
        raise CalibrationError(
            f"{sequences} calibration sequences of {length} tokens are asked for and the text has {len(tokens)} tokens. "
            "Ask for at least one, or give a longer text or a shorter length."
        )
    starts = torch.randint(len(tokens) - length + 1, (sequences,), generator=stream(seed, "calibration"))
    return torch.stack([tokens[start : start + length] for start in starts.tolist()])


def spread_windows(tokens: Int[Tensor, " tokens"], length: int, count: int) -> Int[Tensor, "count length"]:
    """`count` windows without overlap, evenly over the whole text. Raises CalibrationError when it is too short."""
    if len(tokens) < count * length:
        raise CalibrationError(
            f"the test text has {len(tokens)} tokens and {count} windows of {length} are asked for. "
            "Use shorter or fewer windows, or a longer text."
        )
    starts = torch.linspace(0, len(tokens) - length, count).long().tolist()
    return torch.stack([tokens[start : start + length] for start in starts])
