"""Top-k MLPs (Li et al. 2022, arXiv 2210.06313): of the hidden units of each token the k largest stay, in training too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from fewer.activations.lazy.sites import Inputs, Site, find_sites
from fewer.activations.lazy.sparse_hidden import Hidden, SparseHidden
from fewer.core import AbsTopK, Budget, Count, Density, Method, Pattern, register, select
from fewer.core.method import Phase
from fewer.errors import BudgetError, ModelError


@register
@dataclass(frozen=True)
class TopKMLP(Method):
    """Scores the hidden activation itself; by size, which after ReLU is its value. Gradients pass through what stays.

    Its random twin keeps k units by chance: other ones in every training step, the same for a token in every evaluation.
    """

    slug: ClassVar[str] = "topk-mlp"
    phase: ClassVar[Phase] = "during"
    pattern: ClassVar[Pattern] = AbsTopK()

    activation: Literal["relu", "own"] = "relu"
    """What takes the place of the model's activation: ReLU, as in the paper, or nothing."""
    rank: Literal["product", "gate"] = "product"
    """What is ranked in a gated MLP: the product that the next layer reads, or the gate alone. The paper has no such MLP."""

    def score(self, hidden: Hidden) -> Float[Tensor, "*tokens units"]:
        return hidden.value.detach()

    def keep(self, hidden: Hidden, budget: Budget) -> Float[Tensor, "*tokens units"]:
        """The hidden units with zeros in place of those that are not kept. Fewer than k may be above zero."""
        return hidden.value * select(self.score(hidden), self.pattern, budget, hidden.name).mask


class TopKLayers(NamedTuple):
    """What `top_k` put into a model."""

    modules: dict[str, SparseHidden]
    """By the name of the linear layer that reads what they keep."""
    undo: list[Callable[[], object]]

    def remove(self) -> None:
        """The model is again what it was; its weights stay what they have become."""
        while self.undo:
            self.undo.pop()()


def top_k(
    model: nn.Module,
    k: int | float | Budget,
    method: TopKMLP = TopKMLP(),
    *,
    example: Inputs | None = None,
    include: str | Sequence[str] = "*",
) -> TopKLayers:
    """Let k hidden units of each MLP stand for each token, from now on, in training and evaluation.

    The model is changed in place and keeps its weights and their names; any training goes through it. Call it before the
    first step, as the paper does.

    Args:
        k: how many units of each token and layer; a float is a share.
        method: or its random twin.
        example: see `find_sites`.
        include: names of the layers that read hidden units, as `*.down_proj`.

    Raises:
        BudgetError: more units than a layer has.
        ModelError: no such MLP, or one activation that several MLPs share.
    """
    budget = k if isinstance(k, Budget) else Count(k) if isinstance(k, int) else Density(k)
    patterns = [include] if isinstance(include, str) else list(include)
    found = find_sites(model, example)
    sites = [site for site in found if any(fnmatchcase(site.reader_name, p) for p in patterns)]
    if not sites:
        raise ModelError(f"no MLP is read by {patterns}; those that are found: {', '.join(s.reader_name for s in found)}.")
    for site in sites:
        if isinstance(budget, Count) and budget.k > site.units:
            raise BudgetError(f"{site.reader_name} reads {site.units} units, of which {budget.k} cannot be kept.")
        if sum(other.activation is site.activation for other in found) > 1:
            raise ModelError(f"{site.name} is the activation of several MLPs: give each one of its own.")
    layers = TopKLayers({}, [])
    for site in sites:
        layers.modules[site.reader_name] = _put(model, site, method, budget, layers.undo)
    return layers


def _put(model: nn.Module, site: Site, method: TopKMLP, budget: Budget, undo: list[Callable[[], object]]) -> SparseHidden:
    own = nn.ReLU() if method.activation == "relu" else site.activation
    parent, _, last = site.name.rpartition(".")
    home = model.get_submodule(parent)
    undo.append(lambda: setattr(home, last, site.activation))
    if site.gated and method.rank == "product":
        sparse = SparseHidden(nn.Identity(), method.keep, budget, site.reader_name)
        setattr(home, last, own)
        # A hook that finds its module in the layer: copies of the model have copies of both.
        site.reader.add_module("top_k", sparse)
        handle = site.reader.register_forward_pre_hook(_through)
        undo.extend([handle.remove, lambda: delattr(site.reader, "top_k")])
    else:
        sparse = SparseHidden(own, method.keep, budget, site.reader_name)
        setattr(home, last, sparse)
    return sparse


def _through(reader: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (reader.top_k(args[0]), *args[1:])  # type: ignore[operator]
