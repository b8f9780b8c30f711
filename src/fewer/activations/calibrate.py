"""The calibration pass: the dense model runs once, and every site sees the distribution of its scores."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from fewer.activations.layers import batches_of, linear_layers, shared_inputs, watch
from fewer.activations.method import InputMethod
from fewer.activations.methods import CATS
from fewer.activations.report import InputSparsity
from fewer.activations.site import Group, Site, When
from fewer.errors import ModelError


@dataclass(eq=False)
class Calibrated:
    """Sites with their distributions; nothing is chosen yet, and the model is as it was."""

    groups: list[Group]
    weights: int
    """Weights of all linear layers but the head."""
    gates: dict[Any, Site] = field(default_factory=dict)
    """Gated MLP -> its site."""
    when: When = field(default_factory=When)

    @property
    def sites(self) -> list[Site]:
        return [*(site for group in self.groups for site in group.sites), *self.gates.values()]

    def report(self) -> InputSparsity:
        return InputSparsity(tuple(self.sites), tuple(self.groups), self.when, self.weights, bool(self.gates))


def calibrate(
    model: nn.Module,
    method: InputMethod,
    calibration: Any,
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
    together: bool = False,
) -> Calibrated:
    """Find sites and groups, and gather what the method's scores are over the calibration data.

    Raises:
        CalibrationError, ModelError: see `sparsify`.
    """
    batches = batches_of(calibration)
    layers = linear_layers(model, include, exclude)
    weights = sum(layer.weight.numel() for layer in linear_layers(model).values())
    if isinstance(method, CATS):
        gates = _gates(model, layers)
        watch(model, {mlp.act_fn: _gather(method, site, of_output=True) for mlp, site in gates.items()}, batches, after=True)
        return Calibrated([], weights, gates)
    groups = []
    for names in shared_inputs(model, layers, batches[0]):
        alone = len({layers[name].weight.dtype for name in names}) > 1 or not together
        sites = [Site([name], [layers[name]]) for name in names] if alone else [Site(names, [layers[n] for n in names])]
        groups.append(Group(sites))
    watch(model, {site.layers[0]: _gather(method, site) for group in groups for site in group.sites}, batches)
    return Calibrated(groups, weights)


def _gather(method: InputMethod, site: Site, of_output: bool = False) -> Callable[..., None]:
    seen = site.weights

    def hook(_module: nn.Module, args: tuple[Tensor, ...], output: Any = None) -> None:
        site.levels.update(method.score(output if of_output else args[0], seen))

    return hook


def _gates(model: nn.Module, layers: dict[str, nn.Linear]) -> dict[Any, Site]:
    """MLPs of the form down(act(gate(x)) * up(x)), as Llama's and those of its kin."""
    found = {}
    for name, module in model.named_modules():
        parts = ("gate_proj", "up_proj", "down_proj", "act_fn")
        if all(isinstance(getattr(module, part, None), nn.Module) for part in parts) and f"{name}.down_proj" in layers:
            found[module] = Site([f"{name}.down_proj"], [layers[f"{name}.down_proj"]])
    if not found:
        raise ModelError(
            f"{type(model).__name__} holds no gated MLP (gate_proj, up_proj, down_proj, act_fn), which is what cats drops "
            "neurons of. Take teal or r-sparse."
        )
    return found
