"""The calibration walk: one way through a model that shows every layer's input as it will be after pruning."""

import contextlib
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fewer.errors import CalibrationError
from fewer.measure.evaluating import evaluating
from fewer.weights.layers import Layer
from fewer.weights.relay import Relay
from fewer.weights.seen import Seen

Mode = Literal["layer", "block"]
Batch = Tensor | Mapping[str, Tensor] | Sequence[Tensor]
Visit = Callable[[Layer, Seen], None]


def walk(
    model: nn.Module,
    layers: Mapping[str, Layer],
    batches: Sequence[Batch],
    gather: type[Seen],
    visit: Visit,
    mode: Mode = "layer",
) -> None:
    """Run `batches` through `model` and call `visit(layer, seen)` once for every layer, as soon as its input is known.

    What `visit` does to the weights is what the rest of the model sees: pruned outputs feed the next layer.

    Args:
        batches: what the model is called with: one tensor, a mapping of keywords, or a sequence of positional arguments.
        gather: the statistics to gather for each layer.
        mode: "layer" visits a layer the moment all batches have reached it; one forward in all, and each layer sees what it
            will see. "block" gathers a whole transformer block before visiting its layers, then runs the block again, as the
            papers do; two forwards in all.

    The forward ends at the last layer visited. Memory: of every batch, the activations that its forward holds at one layer.

    Raises:
        CalibrationError: an unknown mode, no batches, statistics that are not finite, or layers that no batch reached.
    """
    if mode not in ("layer", "block"):
        raise CalibrationError(f'the walk\'s mode "{mode}" is unknown; allowed: layer, block.')
    if not batches:
        raise CalibrationError("the calibration data are empty. Give at least one batch, better some thousand tokens.")
    relay = Relay([partial(call, model, batch) for batch in batches])
    missing = dict(layers)
    tour = _by_layer if mode == "layer" else _by_block
    with torch.no_grad(), evaluating(model), _uncached(model), contextlib.closing(tour(model, layers, relay, gather)) as stops:
        for layer, seen in stops:
            seen.check()
            visit(layer, seen)
            missing.pop(layer.name, None)
            if not missing:
                break
    if missing:
        raise CalibrationError(
            f"{len(missing)} layers were never reached by the calibration data, such as {next(iter(missing))}. Exclude them."
        )


def _by_layer(model: nn.Module, layers: Mapping[str, Layer], relay: Relay, gather: type[Seen]) -> Generator[tuple[Layer, Seen]]:
    hooks = [
        layer.module.register_forward_pre_hook(
            lambda _, args, kwargs, name=name: relay.wait(name, _input(args, kwargs)), with_kwargs=True
        )
        for name, layer in layers.items()
    ]
    inputs: list[tuple[weakref.ref, int]] = []  # weak: the last layer's inputs must not outlive it
    seen, view = None, None
    visited = set()
    try:
        for name, arrived in relay.stops():
            if name in visited:  # a module that is called again (tied blocks) is pruned by its first input
                continue
            visited.add(name)
            layer = layers[name]
            # Query, key and value read one tensor: what was gathered for the first serves all of them.
            if (
                seen is not None
                and layer.view == view
                and all(_version(x) == was and x is last() for x, (last, was) in zip(arrived, inputs, strict=True))
            ):
                seen = seen.named(name)
            else:
                seen = gather(name, layer.shape[1])
                for x in arrived:
                    seen.update(layer.rows(x))
                del x
            inputs, view = [(weakref.ref(x), _version(x)) for x in arrived], layer.view
            arrived.clear()
            yield layer, seen
    finally:
        relay.close()
        for hook in hooks:
            hook.remove()


def _input(args: tuple, kwargs: dict[str, Any]) -> Tensor:
    """A layer has one input, whether it is called by place or by name."""
    return args[0] if args else next(iter(kwargs.values()))


def _version(x: Tensor) -> int:
    """Counts what was written into `x` in place; torch does not count it for tensors of inference mode."""
    return -1 if x.is_inference() else x._version


def _by_block(model: nn.Module, layers: Mapping[str, Layer], relay: Relay, gather: type[Seen]) -> Generator[tuple[Layer, Seen]]:
    homes = {name: _block_of(name, find_blocks(model)) for name in layers}
    gathered: dict[str, Seen] = {}
    patched: list[tuple[nn.Module, Any]] = []
    visited: set[str] = set()

    def gathering(block_name: str, block: nn.Module) -> Callable:
        mine = {name: layer for name, layer in layers.items() if homes[name] == block_name}
        original = block.forward

        def forward(*args, **kwargs):
            if block_name in visited:  # a block that is called again (shared weights) is pruned by its first inputs
                return original(*args, **kwargs)
            if block_name in mine:  # a layer outside every block: its own hooks have run before its forward
                _gatherer(gathered, gather, mine[block_name])(block, args, kwargs)
                relay.wait(block_name)
                return original(*args, **kwargs)
            hooks = [
                layer.module.register_forward_pre_hook(_gatherer(gathered, gather, layer), with_kwargs=True)
                for layer in mine.values()
            ]
            try:
                original(*args, **kwargs)
            finally:
                for hook in hooks:
                    hook.remove()
            relay.wait(block_name)
            return original(*args, **kwargs)

        return forward

    try:
        for block_name in dict.fromkeys(homes.values()):
            block = model.get_submodule(block_name)
            patched.append((block, vars(block).get("forward")))  # accelerate, for one, keeps a forward of its own there
            block.forward = gathering(block_name, block)
        for block_name, _ in relay.stops():
            visited.add(block_name)
            for name in [name for name in gathered if homes[name] == block_name]:
                yield layers[name], gathered.pop(name)
    finally:
        relay.close()
        for block, own in patched:
            del block.forward
            if own is not None:
                block.forward = own


def _gatherer(gathered: dict[str, Seen], gather: type[Seen], layer: Layer) -> Callable:
    def hook(_module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        if layer.name not in gathered:
            gathered[layer.name] = gather(layer.name, layer.shape[1])
        gathered[layer.name].update(layer.rows(_input(args, kwargs)))

    return hook


def find_blocks(model: nn.Module) -> list[str]:
    """Dotted names of the transformer blocks: members of every outermost list of like modules; [""], the model, when none."""
    blocks: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{block}.") for block in blocks)
        if isinstance(module, nn.ModuleList) and len(module) > 1 and len({type(m) for m in module}) == 1 and not inside:
            blocks += [f"{name}.{i}" for i in range(len(module))]
    return blocks or [""]


def _block_of(layer: str, blocks: Sequence[str]) -> str:
    for block in blocks:
        if layer.startswith(f"{block}.") or not block:
            return block
    return layer  # outside every block: a block of its own


def call(model: nn.Module, batch: Batch) -> None:
    """Run `model` on what it is called with: a tensor, keywords, or positional arguments."""
    if isinstance(batch, Tensor):
        model(batch)
    elif isinstance(batch, Mapping):
        model(**batch)
    else:
        model(*batch)


@contextlib.contextmanager
def _uncached(model: nn.Module) -> Iterator[None]:
    """No key-value cache while walking; restored afterwards."""
    config: Any = getattr(model, "config", None)
    cached = getattr(config, "use_cache", None)
    if cached:
        config.use_cache = False
    try:
        yield
    finally:
        if cached:
            config.use_cache = cached
