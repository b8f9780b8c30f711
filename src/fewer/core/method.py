"""A method: score -> select -> apply. From it follow its random twin and its dense twin."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from fewer.core.scores import noise

Kind = Literal["dense", "random", "method"]
Phase = Literal["before", "during", "after"]


@dataclass(frozen=True)
class Method:
    """What every method shares, whatever its domain: a name, a seed, a score, and the facts by which it may be compared.

    A domain adds what its methods are applied to (`weights.Pruner`: a layer). Parameters are dataclass fields, so that a
    method prints, compares and is stored as what it is.
    """

    slug: ClassVar[str] = ""
    kind: ClassVar[Kind] = "method"
    phase: ClassVar[Phase] = "after"  # when it acts: before, during or after training
    needs_data: ClassVar[bool] = False
    needs_pretrained: ClassVar[bool] = False

    seed: int = dataclasses.field(default=0, kw_only=True)

    def score(self, *subject: Any) -> Tensor:
        """Larger = keep. What a subject is, the domain says."""
        raise NotImplementedError

    @property
    def seeded(self) -> bool:
        """Does the outcome on fixed data depend on `seed`?"""
        return self.kind == "random"

    @property
    def spelling(self) -> str:
        """Its name with that of the method it is built on, its parameter `base`: "dsnot:magnitude" (`registry.method`)."""
        base = getattr(self, "base", None)
        default = {f.name: f.default for f in dataclasses.fields(self)}.get("base")
        return f"{self.slug}:{base.spelling}" if isinstance(base, Method) and base != default else self.slug

    def with_seed(self, seed: int) -> "Method":
        return dataclasses.replace(self, seed=seed)

    def configuration(self) -> dict[str, Any]:
        """Its class and parameters, as plain values: what a run store tells methods apart by."""
        return {"method": type(self).__name__, **plain_fields(self, leave_out=("seed",))}

    def random_twin(self) -> "Method":
        """The same pattern, budget, schedule and apply, but the scores are noise."""
        return _twin_class(type(self))(**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)})


class Noise:
    """Mixed in before a method, it turns every score into noise of the same shape; all else stays the method's own."""

    kind: ClassVar[Kind] = "random"

    def score(self, *subject: Any) -> Tensor:
        scores = super().score(*subject)  # type: ignore[misc]
        named = [getattr(s, "name", "") for s in subject]
        return noise(scores.shape, self.seed, *named).to(scores.device)  # type: ignore[attr-defined]


_TWINS: dict[type[Method], type[Method]] = {}


def _twin_class(of: type[Method]) -> type[Method]:
    if of.kind == "random":
        return of
    if of not in _TWINS:
        _TWINS[of] = type(
            f"Random{of.__name__}",
            (Noise, of),
            {"slug": f"random-{of.slug}", "__doc__": f"Random twin of {of.__name__}."},
        )
    return _TWINS[of]


def plain_fields(value: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a dataclass as values that JSON can hold."""
    return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name not in leave_out}


def _plain(value: Any) -> Any:
    if isinstance(value, Method):
        return value.configuration()
    if dataclasses.is_dataclass(value):
        return {"is": type(value).__name__, **plain_fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else repr(value)
