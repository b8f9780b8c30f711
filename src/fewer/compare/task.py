"""A task: what is compared. It applies a method to a subject and measures what came out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fewer.core.budget import Budget
from fewer.core.method import Method, plain_fields

Direction = Literal["lower", "higher"]
"""Which way is better."""


@dataclass(frozen=True)
class Measurement:
    """What one cell of a comparison came to. Everything in it is plain JSON."""

    quality: dict[str, float]
    """Measured on held-out data, by name."""
    cost: dict[str, float]
    """In the domain's own currency, by name with its unit (`latency_ms`, `bytes_stored`)."""
    detail: dict[str, Any] = field(default_factory=dict)
    """What a report draws: `layers`, `facts` for the ten lessons (see `Row.detail`)."""


@dataclass(frozen=True)
class Task:
    """Frozen parameters that say what is compared, on which data; a subclass says how.

    Whatever changes a result must be a field, since a run store tells tasks apart by them.
    """

    name: str = ""

    @property
    def quality(self) -> Mapping[str, Direction]:
        """The quality measures, the one that matters most first."""
        raise NotImplementedError

    @property
    def data(self) -> str:
        """Which data this run uses and where they came from, as a report says it."""
        raise NotImplementedError

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Build the subject for `seed`, apply `method` under `budget`, and measure on held-out data."""
        raise NotImplementedError

    def configuration(self) -> dict[str, Any]:
        """Its class and parameters as plain values."""
        return {"task": type(self).__name__, **plain_fields(self)}

    def depends_on_seed(self, method: Method) -> bool:
        """False where every seed gives the same: such a cell is measured once and stands for all seeds."""
        return True

    def close(self) -> None:
        """Let go of what measuring kept (models, data)."""
