"""What a calibration walk has seen of a layer's input: the statistics that scores are made from."""

import copy
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.errors import CalibrationError


class Seen:
    """Statistics of one layer's input, gathered chunk by chunk. This one gathers nothing: for scores that need no data."""

    def __init__(self, name: str, width: int):
        self.name = name
        """Dotted name of the layer; it also salts the noise of random twins."""
        self.width = width
        """Number of inputs, the columns of the layer's matrix."""
        self.tokens = 0
        """Rows seen so far."""

    def update(self, rows: Float[Tensor, "tokens in"]) -> None:
        self.tokens += len(rows)

    def named(self, name: str) -> "Seen":
        """The same statistics for another layer that reads the same input."""
        other = copy.copy(self)
        other.name = name
        return other

    def check(self) -> None:
        """Raise CalibrationError when the statistics cannot be used."""


class InputNorm(Seen):
    """Sum of squares of every input."""

    def __init__(self, name: str, width: int):
        super().__init__(name, width)
        self.squares = torch.zeros(width, dtype=torch.float64)

    def update(self, rows: Float[Tensor, "tokens in"]) -> None:
        super().update(rows)
        self.squares = self.squares.to(rows.device) + rows.square().sum(0)

    @property
    def norm(self) -> Float[Tensor, " in"]:
        """||x_j||_2 over all tokens seen."""
        return self.squares.sqrt().float()

    def check(self) -> None:
        super().check()
        _check(self.name, self.squares)


class Moments(InputNorm):
    """Mean and variance of every input over all tokens, beside the sum of squares."""

    def __init__(self, name: str, width: int):
        super().__init__(name, width)
        self.mean = torch.zeros(width, dtype=torch.float64)
        """E[x_j]."""
        self._origin: Tensor | None = None
        self._deviations = torch.zeros(width, dtype=torch.float64)

    def update(self, rows: Float[Tensor, "tokens in"]) -> None:
        before = self.tokens
        super().update(rows)
        if not len(rows):
            return
        if self._origin is None:
            # All is counted from the first token, so that an input that never changes has a variance of exactly 0.
            self._origin = rows[0].clone()
            self.mean, self._deviations = self.mean.to(rows.device), self._deviations.to(rows.device)
        shifted = rows - self._origin
        mean = shifted.mean(0)
        # Chunks are pooled with what their means differ by (Chan, Golub & LeVeque 1983); sums of squares would cancel.
        apart = mean - (self.mean - self._origin)
        self.mean = self.mean + apart * (len(rows) / self.tokens)
        self._deviations += shifted.sub_(mean).square_().sum(0) + apart.square() * (before * len(rows) / self.tokens)

    @property
    def variance(self) -> Float[Tensor, " in"]:
        """Var[x_j], the population's: zero for an input that never changed."""
        return (self._deviations / max(self.tokens, 1)).float()


class Hessian(Seen):
    """H = 2/n X^T X, the second derivative of the layer's squared output error (SparseGPT, arXiv 2301.00774)."""

    def __init__(self, name: str, width: int):
        super().__init__(name, width)
        self.start, self.stop = 0, width
        """The columns of the layer's matrix that this stands for."""
        self.products = torch.zeros(width, width)
        self._factors: dict[float, Tensor] = {}  # shared by layers that read the same input

    def update(self, rows: Float[Tensor, "tokens in"]) -> None:
        super().update(rows)
        self.products = self.products.to(rows.device).addmm_(rows.t(), rows)
        self._factors.clear()

    @property
    def dead(self) -> Tensor:
        """Inputs that were never other than zero."""
        return self.products.diagonal() == 0

    def factor(self, damping: float) -> Float[Tensor, "in in"]:
        """Upper Cholesky factor of (H + damping * mean(diag H) * I)^-1.

        Its squared diagonal is what removing one weight costs; its rows say how the weights to the right make up for it.

        Raises:
            CalibrationError: when H is not positive definite even so; more tokens or more damping help.
        """
        if damping not in self._factors:
            H = self.products * (2 / max(self.tokens, 1))
            diagonal = H.diagonal()
            diagonal[diagonal == 0] = 1
            diagonal += damping * diagonal.mean()
            lower, failed = torch.linalg.cholesky_ex(H)
            if not failed:
                upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if failed:
                raise CalibrationError(
                    f"the Hessian of {self.name} is singular after {self.tokens} tokens with damping {damping:g}. "
                    "Calibrate on more tokens, or raise damping."
                )
            self._factors[damping] = upper
        return self._factors[damping]

    def columns(self, start: int, stop: int) -> "Hessian":
        """The part that scores of columns start..stop read; its name differs, so that noise differs from part to part."""
        part = copy.copy(self)
        part.name, part.width, part.start, part.stop = f"{self.name}[{start}:{stop}]", stop - start, start, stop
        part.products = self.products[start:stop, start:stop]
        part._factors = {damping: factor[start:stop, start:stop] for damping, factor in self._factors.items()}
        return part

    def error(self, change: Float[Tensor, "out in"]) -> float:
        """Mean squared output error per token that a change of the weights makes: tr(D X^T X D^T) / n."""
        return float((change @ self.products).mul_(change).sum()) / max(self.tokens, 1)

    def check(self) -> None:
        super().check()
        _check(self.name, self.products)


def together(*kinds: type[Seen]) -> type[Seen]:
    """One class of statistics that is each of `kinds`, gathered in one walk; what several of them need is gathered once."""
    every = dict.fromkeys(kinds)
    return _joined(tuple(kind for kind in every if not any(issubclass(other, kind) for other in every if other is not kind)))


@cache
def _joined(kinds: tuple[type[Seen], ...]) -> type[Seen]:
    # Statistics call `super()` in all they do, so that inheriting from several of them gathers all.
    return kinds[0] if len(kinds) == 1 else type("".join(kind.__name__ for kind in kinds), kinds, {})


def _check(name: str, statistics: Tensor) -> None:
    if not bool(statistics.sum().isfinite()):
        raise CalibrationError(
            f"the input of {name} is NaN or infinite on the calibration data. Look at the data and the weights."
        )
