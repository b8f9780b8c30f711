"""The dense twin of every method for inputs: none is dropped."""

from dataclasses import dataclass
from typing import ClassVar

from fewer.activations.method import InputMethod, Split
from fewer.core import register
from fewer.core.method import Kind


@register
@dataclass(frozen=True)
class AllInputs(InputMethod):
    """Keeps every input, whatever the budget."""

    slug: ClassVar[str] = "all-inputs"
    kind: ClassVar[Kind] = "dense"
    needs_data: ClassVar[bool] = False  # what is gathered changes nothing

    def split(self, shape: tuple[int, int], density: float) -> Split:
        return Split(1.0, 0)
