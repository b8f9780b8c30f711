"""SparseGPT (Frantar & Alistarh 2023, arXiv 2301.00774): remove weights column by column, let the others make up for them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.core import NM, Budget, Count, Density, Selection, Unstructured, register, select
from fewer.core.scores import checked
from fewer.core.select import budget_of
from fewer.kernels.cpu.compensate import compensate
from fewer.weights.pruner import Pruned, Pruner
from fewer.weights.seen import Hessian


@register
@dataclass(frozen=True)
class SparseGPT(Pruner):
    """Scores W^2 / U_kk^2, U the upper Cholesky factor of the inverse damped Hessian (alg. 1); moves the weights that stay.

    Unstructured and N:M masks are chosen as the sweep goes, on weights that already make up for earlier columns; other
    patterns are chosen at once on the dense weights, and swept then.
    """

    slug: ClassVar[str] = "sparsegpt"
    statistics: ClassVar[type[Hessian]] = Hessian
    needs_data: ClassVar[bool] = True

    damping: float = 0.01
    """Added to the Hessian's diagonal, as a share of its mean."""
    block: int = 128
    """Columns swept before the rest of the matrix is updated; an unstructured budget is spent evenly over the blocks."""
    update: bool = True
    """False: only the score; no weight is moved."""

    def score(self, weight: Float[Tensor, "out in"], seen: Hessian) -> Float[Tensor, "out in"]:
        return (weight.masked_fill(seen.dead, 0) / seen.factor(self.damping).diagonal()).square_()

    def prune(self, weight: Float[Tensor, "out in"], seen: Hessian, budget: Budget) -> Pruned:
        weight = weight.masked_fill(seen.dead, 0)  # a dead input adds nothing to any output
        budget = budget_of(self.pattern, budget)
        if not self.update or budget.whole:
            return super().prune(weight, seen, budget)
        self.pattern.fit(tuple(weight.shape), seen.name)
        factor, width = seen.factor(self.damping), weight.shape[1]
        step = self._step(budget)
        mask = (
            super().prune(weight, seen, budget).selection.mask if step is None else torch.empty_like(weight, dtype=torch.bool)
        )
        size = self.block if step is None else max(self.block // step, 1) * step
        for start in range(0, width, size):
            stop = min(start + size, width)
            block, kept = weight[:, start:stop].contiguous(), mask[:, start:stop].contiguous()
            errors = torch.zeros_like(block)
            part = factor[start:stop, start:stop]
            if isinstance(self.pattern, NM) and step and type(self).score is SparseGPT.score:
                # the sweep itself chooses by this score: one call for all groups of a block
                checked(block, f"the scores of {seen.name}")
                compensate(block, errors, kept, part, 0, stop - start, (self.pattern.n, self.pattern.m))
            else:
                for a in range(start, stop, step or size):
                    b = min(a + (step or size), stop)
                    if step is not None:
                        kept[:, a - start : b - start] = self._choose(
                            block[:, a - start : b - start], seen.columns(a, b), budget, width
                        )
                    compensate(block, errors, kept, part, a - start, b - start)
            weight[:, start:stop], mask[:, start:stop] = block, kept
            weight[:, stop:].addmm_(errors, factor[start:stop, stop:], alpha=-1)
        return Pruned(weight, Selection(mask, str(self.pattern)))

    def _step(self, budget: Budget) -> int | None:
        """Columns that are chosen together; None where the mask is chosen before the sweep."""
        if isinstance(self.pattern, NM) and self.pattern.axis in (-1, 1):
            return self.pattern.m
        if isinstance(self.pattern, Unstructured) and isinstance(budget, Density | Count):
            return self.block
        return None

    def _choose(
        self, columns: Float[Tensor, "out some"], seen: Hessian, budget: Budget, width: int
    ) -> Bool[Tensor, "out some"]:
        scores = self.score(columns, seen)
        if isinstance(self.pattern, Unstructured):
            # What a unit of the whole matrix may keep, spent in step with the columns; the sum over all steps is exact.
            per_column = 1 if self.pattern.scope == "row" else len(columns)
            total = budget.k if isinstance(budget, Count) else budget.of(per_column * width)  # type: ignore[attr-defined]
            budget = Count(total * seen.stop // width - total * seen.start // width)
        return select(scores, self.pattern, budget, seen.name).mask


@register
@dataclass(frozen=True)
class SparseGPTMask(SparseGPT):
    """SparseGPT's score alone: the mask is chosen on the dense weights, and no weight is moved."""

    slug: ClassVar[str] = "sparsegpt-mask"

    update: bool = False
