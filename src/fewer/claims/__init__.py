"""One file a system: what its paper claims, and how that is tested at three scales."""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewer.claims.claim import Claim

MACHINERY = {"claim"}


def slugs() -> tuple[str, ...]:
    """Systems (and comparisons) that have a claim, without importing any of them."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name.replace("_", "-") for name in names if name not in MACHINERY))


def load(slug: str) -> "Claim":
    """The claim of `slug`. Raises MethodError when there is none, naming the nearest that has one."""
    from fewer.core.registry import nearest
    from fewer.errors import MethodError

    if slug not in slugs():
        raise MethodError(f'no claim is named "{slug}"{nearest(slug, slugs())}; those that run: {", ".join(slugs())}.')
    return importlib.import_module(f"fewer.claims.{slug.replace('-', '_')}").claim
