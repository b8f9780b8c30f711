"""`sparsify`: a model's linear layers skip small inputs while decoding. Nothing is trained."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from fewer.activations.calibrate import Calibrated, calibrate
from fewer.activations.linear import SparseGate, SparseLinear
from fewer.activations.method import InputMethod
from fewer.activations.methods import CATS, TEAL, RSparse
from fewer.core import registry
from fewer.errors import BudgetError, MethodError
from fewer.kernels.forms import settle

PerLayer = float | Mapping[str, float]
"""One number for all layers, or by name or shell pattern (the first that fits)."""


def r_sparse(
    model: nn.Module,
    sparsity: PerLayer = 0.5,
    calibration: Any = None,
    *,
    rho: PerLayer = 0.95,
    scaled: bool = True,
    **settings: Any,
) -> nn.Module:
    """R-Sparse (Zhang et al. 2025, arXiv 2504.19449) on every linear layer but the output head. See `sparsify`.

    Args:
        rho: share of the budget that goes to inputs, the rest to a low-rank copy; see `search_rho`.
        scaled: score |x| times the norm of the input's weights, or |x| alone.
    """
    return sparsify(model, RSparse(scaled=scaled), sparsity, calibration, rho=rho, **settings)


def teal(model: nn.Module, sparsity: PerLayer = 0.5, calibration: Any = None, **settings: Any) -> nn.Module:
    """TEAL (Liu et al. 2024, arXiv 2408.14690) on every linear layer but the output head. See `sparsify`, `search_sparsity`."""
    return sparsify(model, TEAL(), sparsity, calibration, **settings)


def cats(model: nn.Module, sparsity: PerLayer = 0.5, calibration: Any = None, **settings: Any) -> nn.Module:
    """CATS (Lee et al. 2024, arXiv 2404.08763) on every gated MLP; `sparsity` is of its neurons. See `sparsify`."""
    return sparsify(model, CATS(), sparsity, calibration, **settings)


def sparsify(
    model: nn.Module,
    method: InputMethod | str = "r-sparse",
    sparsity: PerLayer = 0.5,
    calibration: Any = None,
    *,
    rho: PerLayer | None = None,
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
    together: bool = False,
    rows: int = 1,
    dense_prompt: float = 1.0,
    kernel: bool = True,
) -> nn.Module:
    """Replace linear layers by ones that read only part of their weights for a token, and return `model`.

    `model.input_sparsity` says what was chosen; `restore` undoes it. With a kernel the weights are stored by input, once.

    Args:
        method: a method, or its slug: "r-sparse", "teal", "cats", "magnitude-channels"; "random:SLUG" is its random twin.
        sparsity: share of the weights that is not read for a token, in [0, 1). One for all, or by name or shell pattern.
        calibration: token ids [sequences, length], or a list of what the model is called with: some thousand tokens of text
            like that to come. One forward pass of the dense model.
        rho: for "r-sparse", in place of the method's own: one for all layers, or by name.
        include, exclude: shell patterns over layer names. The output head is never taken.
        together: treat layers that read one input (query, key and value; gate and up) as one layer, which keeps the same
            inputs for all of them. The papers choose for each layer.
        rows: inputs of at most so many rows are decoding steps. Each is multiplied by itself, so that more than one or two
            gain nothing.
        dense_prompt: share of longer inputs' tokens, from their start, that are dense: 1 as the paper decodes, 0.9 as it
            measures, 0 for a perplexity that is sparse on all tokens.
        kernel: False leaves all to torch, without gain in speed, and the weights as they are stored.

    Raises:
        BudgetError: sparsity outside [0, 1), rho outside [0, 1], or a layer that a mapping does not name.
        CalibrationError: empty data, NaN in them, or layers that they never reach.
        MethodError: an unknown method, one that is not for inputs, or `rho` for one that has none.
        ModelError: no linear layer, weights that are NaN, or (CATS) no gated MLP.
    """
    method = _resolved(method)
    if rho is not None and not isinstance(method, RSparse):
        raise MethodError(f"{method.slug} has no rho; leave it out, or take r-sparse.")
    for value in sparsity.values() if isinstance(sparsity, Mapping) else [sparsity]:
        _check(value)
    for value in rho.values() if isinstance(rho, Mapping) else [rho or 0.0]:
        RSparse(rho=value)
    if rows < 1 or not 0 <= dense_prompt <= 1:
        raise BudgetError(f"rows {rows}, dense_prompt {dense_prompt}: give at least 1 row, and a share in [0, 1].")
    restore(model)
    calibrated = calibrate(model, method, calibration, include, exclude, together)
    for site in calibrated.sites:
        name = site.names[0]
        own = replace(method, rho=of_layer(rho, name, "rho")) if rho is not None and isinstance(method, RSparse) else method
        site.settle(own, round(1 - of_layer(sparsity, name, "sparsity"), 12))
        vars(site).pop("low_rank", None)  # as large as the weights
    return install(model, calibrated, rows, dense_prompt, kernel)


def install(
    model: nn.Module, calibrated: Calibrated, rows: int = 1, dense_prompt: float = 1.0, kernel: bool = True
) -> nn.Module:
    """Put layers whose sites are settled in their places."""
    calibrated.when.rows, calibrated.when.dense_prompt = rows, dense_prompt
    if kernel:
        for group in calibrated.groups:
            group.pack()
        settle([part for group in calibrated.groups for part in group.parts])  # type: ignore[misc]
    for group in calibrated.groups:
        group.bind()
        for site in group.sites:
            for name, layer in zip(site.names, site.layers, strict=True):
                model.set_submodule(name, SparseLinear(layer, group, site, calibrated.when))
    for mlp, site in calibrated.gates.items():
        mlp.act_fn = SparseGate(mlp.act_fn, site, calibrated.when)
    model.input_sparsity = calibrated.report()  # type: ignore[assignment]
    return model


def restore(model: nn.Module) -> nn.Module:
    """Put ordinary layers back, their weights stored as usual. Returns `model`."""
    for name, module in list(model.named_modules()):
        if isinstance(module, SparseLinear):
            model.set_submodule(name, module.plain())
        elif isinstance(module, SparseGate):
            model.set_submodule(name, module.activation)
    if hasattr(model, "input_sparsity"):
        del model.input_sparsity
    return model


def of_layer(values: PerLayer, name: str, what: str) -> float:
    """A layer's own value. Raises BudgetError where a mapping has none for it."""
    if not isinstance(values, Mapping):
        return values
    if name in values:
        return values[name]
    for pattern, value in values.items():
        if fnmatchcase(name, pattern):
            return value
    raise BudgetError(f'no {what} is given for {name}: name it, or add a pattern such as "*".')


def _check(sparsity: Any) -> None:
    if not isinstance(sparsity, int | float) or not 0 <= sparsity < 1:
        raise BudgetError(f"sparsity must lie in [0, 1), not {sparsity!r}: it is the share of the weights that is NOT read.")


def _resolved(method: InputMethod | str) -> InputMethod:
    found = registry.method(method) if isinstance(method, str) else method
    if not isinstance(found, InputMethod):
        raise MethodError(
            f"{found.slug} is no method for inputs; allowed: r-sparse, teal, cats, magnitude-channels, all-inputs."
        )
    return found
