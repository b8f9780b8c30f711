"""What was chosen for each layer, and why."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One layer, or several that read the same input and are multiplied in one go."""

    names: tuple[str, ...]
    shape: tuple[int, int]
    """(out, in) of all of them together."""
    density: float
    """Share of the weights that are not zero, to the nearest 5%."""
    form: str
    """"torch" (left as they were), or the compact form that they multiply from now on."""
    largest: int
    """Rows of input up to which the form is used; 0 for torch."""
    seconds: dict[str, float]
    """Of one product, for torch and each form that was tried; medians over the layers that were measured together."""
    why: str
    smallest: int
    """Rows of input from which the form is used."""
    dense_bytes: int
    bytes: int
    """Of the weights as a product reads them now."""

    @property
    def speedup(self) -> float:
        """Time of torch over that of the choice."""
        return self.seconds["torch"] / self.seconds[self.form] if self.seconds else 1.0

    @property
    def over_best_dense(self) -> float:
        """Time of the better of torch and our dense kernel over that of the choice."""
        dense = [self.seconds[form] for form in ("torch", "dense") if form in self.seconds]
        return min(dense) / self.seconds[self.form] if dense else 1.0


@dataclass(frozen=True)
class Acceleration:
    """`model.acceleration`: one choice for each linear layer, in order. Printed, it is a table by kind of layer."""

    choices: tuple[Choice, ...]
    batch: int
    """Rows of input that were measured."""
    path: str
    """Which kernels ran: avx512, portable or reference; on a GPU triton or reference."""
    threads: int

    @property
    def speedup(self) -> float:
        """Of all linear layers together, against torch."""
        mine = sum(c.seconds[c.form] for c in self.choices if c.seconds)
        return sum(c.seconds["torch"] for c in self.choices if c.seconds) / mine if mine else 1.0

    @property
    def over_best_dense(self) -> float:
        """Of all linear layers together, against the better dense kernel in each."""
        mine = sum(c.seconds[c.form] for c in self.choices if c.seconds)
        return sum(c.seconds[c.form] * c.over_best_dense for c in self.choices if c.seconds) / mine if mine else 1.0

    def __str__(self) -> str:
        kinds = Counter(map(_alike, self.choices))
        first = {_alike(c): c for c in reversed(self.choices)}
        lines = [
            f"{sum(len(c.names) for c in self.choices)} linear layers, {self.batch} row(s) of input, {self.threads} thread(s), "
            f"path {self.path}: {self.speedup:.2f} x torch, {self.over_best_dense:.2f} x the best dense kernel in every layer"
        ]
        for key, count in kinds.items():
            c = first[key]
            what = " + ".join(name.rpartition(".")[2] for name in c.names)
            lines.append(f"{count:4d} of {c.shape[0]} x {c.shape[1]}, density {c.density:.2f} ({what}): {c.form}; {c.why}")
        return "\n".join(lines)


def _alike(choice: Choice) -> tuple[object, ...]:
    return choice.shape, choice.density, choice.form, choice.why, len(choice.names)
