"""Dense sentence vectors from a transformer, by mean pooling."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class SentenceEncoder:
    """Mean of the last layer over a text's tokens, scaled to length 1 (Reimers and Gurevych 2019, arXiv 1908.10084)."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    longest: int = 256
    """Tokens of a text that are read."""

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch: int = 32) -> Float[Tensor, "texts width"]:
        """Unit vectors on the CPU, in the order of `texts`; `batch` texts at a time, those of like length together."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = torch.empty(len(texts), self.model.config.hidden_size)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            tokens = self.tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=self.longest, return_tensors="pt"
            ).to(self.model.device)
            states = self.model(**tokens).last_hidden_state
            read = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
            mean = (states * read).sum(1) / read.sum(1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=-1).float().cpu()
        return vectors
