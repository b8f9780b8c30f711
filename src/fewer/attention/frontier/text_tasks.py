"""Tasks made of real text: retrieval, variables that point at variables, frequent words, and the text itself.

Forms follow RULER's (Hsieh et al. 2024, arXiv 2404.06654), which the study used, with texts, names and numbers of our own.
A model is asked by continuation, not in its chat form.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from fewer.attention.frontier.sample import Sample, running
from fewer.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUERIES = 4
NEEDLES = 12
"""Facts in the text of a retrieval task; QUERIES of them are asked for."""
CHAINS, HOPS = 4, 2
COMMON, RARE_TIMES = 5, 2
"""Frequent words to find, and how often any other word comes. Frequent ones come 10 times as often."""
EXAMPLE = "List: tree, river, tree, stone, tree, river, tree, cloud, river, river.\nMost frequent words: tree, river\n\nList:"
JUDGED = 128
"""Tokens of running text that are judged."""


class Words:
    """A text as tokens, to hide things in and to take words from."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", text: str) -> None:
        self.tokenizer = tokenizer
        self.tokens = np.array(self.ids(text))
        found = sorted(set(re.findall(r"(?<=\s)[a-z]{4,8}(?=\s)", text)))
        self.words = [word for word in found if len(self.ids(f" {word}")) <= 2]

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def stretch(self, length: int, rng: np.random.Generator) -> list[int]:
        """`length` tokens from anywhere. Raises DataError when the text is shorter."""
        if length > len(self.tokens):
            raise DataError(
                f"the text has {len(self.tokens)} tokens, fewer than the {length} asked for. Use a longer text set."
            )
        start = int(rng.integers(len(self.tokens) - length + 1))
        return self.tokens[start : start + length].tolist()

    def draw(self, count: int, rng: np.random.Generator) -> list[str]:
        """Different words. Raises DataError when the text has fewer."""
        if count > len(self.words):
            raise DataError(
                f"the text has {len(self.words)} usable words, fewer than the {count} asked for. Use a longer text set."
            )
        return [self.words[i] for i in rng.permutation(len(self.words))[:count]]


@lru_cache(maxsize=4)
def words_of(tokenizer: Any, text: str) -> Words:
    """Tokenised once."""
    return Words(tokenizer, text)


def retrieval(source: Words, length: int, rng: np.random.Generator) -> Sample:
    """Numbers of named things stand here and there in a text; four are asked for, one after the other."""
    things = source.draw(NEEDLES, rng)
    numbers = _numbers(NEEDLES, rng)
    facts = [f"\nThe secret number of {t} is {n}.\n" for t, n in zip(things, numbers, strict=True)]
    asked = rng.permutation(NEEDLES)[:QUERIES].tolist()
    listed = ", ".join(things[i] for i in asked)
    question = f"\nQuestion: What are the secret numbers of {listed}?\nAnswer: The secret number of {things[asked[0]]} is"
    steps = [(f" {numbers[i]}", f". The secret number of {things[j]} is") for i, j in pairwise(asked)]
    return _hidden(source, length, rng, facts, question, [*steps, (f" {numbers[asked[-1]]}", "")])


def tracking(source: Words, length: int, rng: np.random.Generator) -> Sample:
    """Chains of variables: the first holds a number, each other one points at the one before. Asked is the last of each."""
    names = [word.upper() for word in source.draw(CHAINS * (HOPS + 1), rng)]
    chains = [names[i::CHAINS][: HOPS + 1] for i in range(CHAINS)]
    numbers = _numbers(CHAINS, rng)
    facts = []
    for hop in range(HOPS + 1):  # in order, so that a name is known before it is pointed at
        for chain, number in zip(chains, numbers, strict=True):
            facts.append(f"\nVAR {chain[hop]} = {number if hop == 0 else f'VAR {chain[hop - 1]}'}\n")
    question = f"\nQuestion: Which numbers do the variables hold?\nAnswer: VAR {chains[0][-1]} ="
    steps = [(f" {n}", f"\nVAR {chain[-1]} =") for n, chain in zip(numbers, chains[1:], strict=False)]
    return _hidden(source, length, rng, facts, question, [*steps, (f" {numbers[-1]}", "")])


def frequent(source: Words, length: int, rng: np.random.Generator) -> Sample:
    """A list of words in which five come ten times as often as all others. Any order of the five is right."""
    example, question = source.ids(EXAMPLE), source.ids(".\nMost frequent words:")
    first: dict[int, str] = {}
    for word in source.draw(len(source.words), rng):
        first.setdefault(source.ids(f" {word}")[0], word)  # a word is known by its first token
    pool = list(first.values())
    common, others = pool[:COMMON], pool[COMMON:]
    listed = [*common * RARE_TIMES * 10]
    room = length - len(example) - len(question) - sum(len(source.ids(f" {word},")) for word in [*listed, *common])
    if room < 0 or len(pool) <= COMMON:
        raise DataError(
            f"{length} tokens of this text do not hold a list of words; give at least {length - room}, or a longer text."
        )
    for word in others:
        room -= len(source.ids(f" {word},")) * RARE_TIMES
        if room < 0:
            break
        listed += [word] * RARE_TIMES
    shuffled = [listed[i] for i in rng.permutation(len(listed))]
    prompt = [*example, *source.ids(",".join(f" {word}" for word in shuffled)), *question]
    tokens, asked, accepted = list(prompt), [], []
    for place, word in enumerate(common):
        asked.append(len(tokens))
        accepted.append(tuple(source.ids(f" {w}")[0] for w in common[place:]))
        tokens += source.ids(f" {word}") + source.ids(",")
    return Sample(torch.tensor(tokens), len(prompt), tuple(asked), tuple(accepted), tuple(range(COMMON)))


def continuation(source: Words, length: int, rng: np.random.Generator) -> Sample:
    """The text itself."""
    return running(torch.tensor(source.stretch(length, rng)), length - min(JUDGED, length // 2))


TASKS: dict[str, Callable[[Words, int, np.random.Generator], Sample]] = {
    "retrieval": retrieval,
    "tracking": tracking,
    "frequent": frequent,
    "text": continuation,
}


def _numbers(count: int, rng: np.random.Generator) -> list[int]:
    return (rng.choice(90000, count, replace=False) + 10000).tolist()


def _hidden(
    source: Words,
    length: int,
    rng: np.random.Generator,
    facts: Sequence[str],
    question: str,
    steps: Sequence[tuple[str, str]],
) -> Sample:
    """Facts in their order at random places of a text, then the question; of the steps the answers are judged."""
    pieces, asked_ids = [source.ids(fact) for fact in facts], source.ids(question)
    decoded: list[int] = []
    asked: list[int] = []
    answers: list[int] = []
    for number, (answer, bridge) in enumerate(steps):
        ids = source.ids(answer)
        asked += range(len(decoded), len(decoded) + len(ids))
        answers += [number] * len(ids)
        decoded += ids + (source.ids(bridge) if bridge else [])
    room = length - len(asked_ids) - len(decoded) - sum(map(len, pieces))
    if room < len(pieces):
        raise DataError(f"{length} tokens do not hold the question and its facts; give at least {length - room + len(pieces)}.")
    hay, places = source.stretch(room, rng), np.sort(rng.integers(room + 1, size=len(pieces)))
    body: list[int] = []
    for before, place, piece in zip([0, *places], places, pieces, strict=False):
        body += hay[before:place] + piece
    prompt = [*body, *hay[places[-1] :], *asked_ids]
    tokens: Int[Tensor, " tokens"] = torch.tensor(prompt + decoded)
    at = tuple(len(prompt) + place for place in asked)
    return Sample(tokens, len(prompt), at, tuple((int(tokens[i]),) for i in at), tuple(answers))
