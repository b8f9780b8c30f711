"""Which weights of a model are stored without their zeros, and in which of the two layouts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Bool
from torch import Tensor, nn

from fewer.core.selection import Selection

Form = Literal["sparse-24-bitmask", "sparse-bitmask"]


@dataclass(frozen=True)
class Stored:
    """One weight that takes less room without its zeros."""

    name: str
    """Of the module."""
    kept: int
    size: int
    two_of_four: bool
    """Exactly two of every four consecutive inputs are kept."""
    dense_bytes: int
    bitmask_bytes: int
    """In the layout for any mask, which also stores where each row's values begin."""
    offset_bytes: int
    """The share of that which the 2:4 layout does without."""


@dataclass(frozen=True)
class Plan:
    """How `fewer.save(compress=True)` stores a model's weights; the rest stays dense."""

    layers: tuple[Stored, ...]

    @property
    def form(self) -> Form:
        """A file has one layout: 2:4 packed where every weight in `layers` is 2:4."""
        return "sparse-24-bitmask" if self.layers and all(layer.two_of_four for layer in self.layers) else "sparse-bitmask"

    @property
    def dense_bytes(self) -> int:
        """What these weights take as they are."""
        return sum(layer.dense_bytes for layer in self.layers)

    @property
    def stored_bytes(self) -> int:
        """What they take in this form."""
        without = self.form == "sparse-24-bitmask"
        return sum(layer.bitmask_bytes - (layer.offset_bytes if without else 0) for layer in self.layers)

    @property
    def density(self) -> float:
        """Share kept of these weights."""
        return sum(layer.kept for layer in self.layers) / max(1, sum(layer.size for layer in self.layers))


def plan(model: nn.Module) -> Plan:
    """Every weight of a module that is smaller as bits and kept values than as it is, the model's embeddings included.

    Kept is what `model.fewer` selects, and whatever else is not zero.
    """
    return Plan(tuple(stored for stored in _considered(model) if stored.bitmask_bytes < stored.dense_bytes))


def weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Module names and weights that could be stored compactly; a tied weight once, under its first name."""
    seen: set[int] = set()
    # compressed-tensors reads matrices only; what is no Hugging Face model it does not read anyway
    dimensions = (2,) if hasattr(model, "save_pretrained") else (2, 3, 4, 5)
    for name, module in model.named_modules():
        weight = module._parameters.get("weight")
        if weight is None or id(weight) in seen or weight.ndim not in dimensions or not weight.is_floating_point():
            continue
        seen.add(id(weight))
        yield name, weight.detach()


def kept_of(name: str, weight: Tensor, selections: Mapping[str, Selection]) -> Bool[Tensor, "out in"]:
    """What has to be stored: selected, even when it is zero; and not zero, even when it is not selected."""
    kept = weight != 0
    if name in selections and selections[name].mask.shape == weight.shape:
        kept |= selections[name].mask.to(kept.device)
    return kept.flatten(1)


def selections_of(model: nn.Module) -> Mapping[str, Selection]:
    """The selections that the model was pruned with; none for a model that never was."""
    return getattr(getattr(model, "fewer", None), "selections", {})


def _considered(model: nn.Module) -> Iterator[Stored]:
    selections = selections_of(model)
    for name, weight in weights(model):
        mask = kept_of(name, weight, selections)
        rows, width = mask.shape
        kept, offsets = int(mask.count_nonzero()), 8 * rows
        yield Stored(
            name,
            kept,
            mask.numel(),
            width % 4 == 0 and 2 * kept == mask.numel() and bool((mask.unflatten(1, (-1, 4)).sum(-1) == 2).all()),
            mask.numel() * weight.element_size(),
            kept * weight.element_size() + rows * ((width + 7) // 8) + 8 * weight.ndim + offsets,
            offsets,
        )


def quantization_config(model: nn.Module, made: Plan) -> dict[str, Any]:
    """What config.json says of it, as compressed-tensors up to 0.14 reads it: module classes, and which of them stay dense."""
    chosen = {layer.name for layer in made.layers}
    kinds = sorted({type(model.get_submodule(name)).__name__ for name in chosen})
    others = [name for name, module in model.named_modules() if type(module).__name__ in kinds and name not in chosen]
    sparsity = {
        "format": made.form,
        "global_sparsity": round(1 - made.density, 4),
        "ignore": others,
        "sparsity_structure": "2:4" if made.form == "sparse-24-bitmask" else "unstructured",
        "targets": kinds,
    }
    return {"quant_method": "compressed-tensors", "sparsity_config": sparsity}
