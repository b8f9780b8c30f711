"""Networks that are trained once and kept, under a name that stands for all that made them."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from torch import Tensor, nn

from fewer.data.places import Places
from fewer.data.quiet import quiet
from fewer.errors import ModelError
from fewer.files import write_whole

log = logging.getLogger("fewer.data")


def kept(name: str, about: Any, data: Tensor, build: Callable[[], nn.Module], train: Callable[[nn.Module], None]) -> nn.Module:
    """The network that `train` makes of what `build` returns, in evaluation mode; from the cache when it was trained before.

    Its parameters are kept; buffers are those that `build` makes. The global random state stays as it was, and may be
    seeded in `build` and `train`. That training begins is said on the `fewer.data` logger.

    Args:
        name: what the file is called, with the key of `about` and `data` behind it.
        about: architecture, recipe and version, as values that JSON holds: another one is another network.
        data: what it is trained on.
        build: an untrained network; called each time, and must give the same one each time.
        train: trains in place.

    Raises:
        ModelError: the cache folder cannot be written.
    """
    path = Places.find().cache / "trained" / f"{name}-{_key(about, data)}.safetensors"
    with quiet():
        model = build()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):  # two processes at once: the second one waits and loads
                if not _load(model, path, name):
                    log.info("training %s; kept as %s", name, path)
                    train(model)
                    _save(model, path)
        except OSError as error:
            raise ModelError(f"{name} cannot be kept in {path.parent} ({error}). Set FEWER_CACHE to another folder.") from error
    return model.eval()


def _key(about: Any, data: Tensor) -> str:
    described = json.dumps(about, sort_keys=True).encode()
    return hashlib.sha256(described + hashlib.sha256(data.numpy().tobytes()).digest()).hexdigest()[:16]


def _load(model: nn.Module, path: Path, name: str) -> bool:
    """Put kept weights into `model`; False when there are none, or they are not what was written."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            whole = (file.metadata() or {}).get("sha256") == _digest(weights)
    except SafetensorError:
        whole = False
    if not whole:
        log.warning("%s is damaged; %s is trained again", path, name)
        return False
    model.load_state_dict(weights, strict=False)  # a tensor that two modules share is kept once
    return True


def _save(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save

    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    write_whole(path, save(weights, {"sha256": _digest(weights)}))


def _digest(weights: dict[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode())
        total.update(weights[name].numpy().tobytes())
    return total.hexdigest()
