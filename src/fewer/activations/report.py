"""What `sparsify` chose."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from torch import nn

from fewer.activations.site import Group, Site, When, touched
from fewer.errors import ModelError


class SiteReport(NamedTuple):
    """One layer, or several that are treated as one."""

    names: tuple[str, ...]
    shape: tuple[int, int]
    """(out, in) of their weights."""
    method: str
    density: float
    """Asked for: the share of the weights that may be read for a token."""
    inputs: float
    """Share of the inputs that go through the weights, over the calibration data."""
    rank: int
    """Of the low-rank copy for the others."""
    threshold: float
    """Of the score."""
    touched: float
    """Share of the weights that are read for a token, the low-rank copy counted."""


@dataclass(frozen=True, eq=False)
class InputSparsity:
    """`model.input_sparsity`: what was chosen, layer by layer. Printed, it is a table by kind of layer."""

    sites: tuple[Site, ...]
    groups: tuple[Group, ...]
    when: When
    weights: int
    """Weights of all linear layers but the head, sparse or not."""
    per_neuron: bool = False
    """Sites are gates: a neuron that is dropped spares a row and a column."""

    @property
    def layers(self) -> list[SiteReport]:
        return [SiteReport(s.names, s.shape, s.method.slug, s.density, *s.split, s.threshold, s.touched) for s in self.sites]

    @property
    def touched(self) -> float:
        """Share of the weights of all linear layers but the head that are read for a token of the calibration data."""
        return self.touched_at({s.names[0]: s.split.inputs for s in self.sites})

    def touched_at(self, inputs: dict[str, float]) -> float:
        """The same, if each site keeps that share of its inputs."""
        spared = sum(
            s.shape[0] * s.shape[1] * (2 if self.per_neuron else 1) * (1 - touched(s.shape, inputs[s.names[0]], s.split.rank))
            for s in self.sites
        )
        return 1 - spared / self.weights

    @property
    def extra_bytes(self) -> int:
        """Memory beyond the weights."""
        return sum(group.extra_bytes for group in self.groups)

    def __str__(self) -> str:
        kinds: dict[str, list[SiteReport]] = {}
        for layer in self.layers:
            kinds.setdefault(" + ".join(name.rpartition(".")[2] for name in layer.names), []).append(layer)
        lines = [
            f"{len(self.sites)} sites of {self.sites[0].method.slug}: {self.touched:.3f} of the weights read for a token, "
            f"{self.extra_bytes / 1e6:.1f} MB more memory; sparse up to {self.when.rows} row(s), "
            f"{self.when.dense_prompt:.0%} of longer inputs dense"
        ]
        for kind, layers in kinds.items():
            ranks = [layer.rank for layer in layers]
            lines.append(
                f"{len(layers):4d} of {layers[0].shape[0]} x {layers[0].shape[1]} ({kind}): density "
                f"{fmean(layer.density for layer in layers):.3f}, inputs {fmean(layer.inputs for layer in layers):.3f}, "
                f"rank {min(ranks)} to {max(ranks)}, threshold {fmean(layer.threshold for layer in layers):.3g}"
            )
        return "\n".join(lines)


def sparsity_of(model: nn.Module) -> InputSparsity:
    """`model.input_sparsity`. Raises ModelError when `sparsify` was not called."""
    found = getattr(model, "input_sparsity", None)
    if not isinstance(found, InputSparsity):
        raise ModelError(f"{type(model).__name__} has no sparse inputs. Call fewer.activations.sparsify or r_sparse first.")
    return found


@contextmanager
def on_all_tokens(model: nn.Module, dense_prompt: float = 0.0) -> Iterator[None]:
    """Prompts sparse too, for a while: what a perplexity over whole windows needs. Raises ModelError for a plain model."""
    when = sparsity_of(model).when
    before, when.dense_prompt = when.dense_prompt, dense_prompt
    try:
        yield
    finally:
        when.dense_prompt = before
