"""The registry: methods by slug, from this package and from anyone's through the entry-point group `fewer.methods`."""

import dataclasses
import difflib
import importlib.metadata
from collections.abc import Iterable
from functools import cache
from typing import TypeVar

from fewer.core.method import Method
from fewer.errors import MethodError

GROUP = "fewer.methods"
M = TypeVar("M", bound=type[Method])
_METHODS: dict[str, type[Method]] = {}


def register(method: M) -> M:
    """Class decorator: make a method known by its `slug`. Raises MethodError for a slug that is taken or empty."""
    taken = _METHODS.get(method.slug)
    # The same class may come twice (its module reloaded); another one of the same name may not.
    if not method.slug or (taken is not None and _home(taken) != _home(method)):
        raise MethodError(
            f'{method.__name__} needs a slug of its own; "{method.slug}" is {"empty" if not method.slug else "taken"}.'
        )
    _METHODS[method.slug] = method
    return method


def _home(method: type[Method]) -> tuple[str, str]:
    return method.__module__, method.__qualname__


def methods() -> dict[str, type[Method]]:
    """All registered methods by slug, third parties' included."""
    _load()
    return dict(sorted(_METHODS.items()))


def method(slug: str, **parameters: object) -> Method:
    """The method named `slug`; "random:SLUG" is its random twin, and "SLUG:BASE" builds it on the method BASE.

    Raises:
        MethodError: when unknown, naming the nearest; for parameters that it does not take; for a base where it has none.
    """
    _load()
    outer, _, rest = slug.partition(":")
    if outer == "random" and rest:
        return method(rest, **parameters).random_twin()
    if outer in _METHODS and rest:
        if "base" not in (f.name for f in dataclasses.fields(_METHODS[outer])):
            raise MethodError(f'{outer} is built on no other method, so that "{slug}" means nothing. Write {outer}.')
        return method(outer, base=method(rest), **parameters)
    if slug not in _METHODS:
        raise MethodError(f'method "{slug}" is unknown{nearest(slug, _METHODS)}; allowed: {", ".join(sorted(_METHODS))}.')
    try:
        return _METHODS[slug](**parameters)  # type: ignore[arg-type]
    except TypeError as error:
        raise MethodError(f"{slug} does not take these parameters: {error}.") from None


def nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f' (did you mean "{close[0]}"?)' if close else ""


@cache
def _load() -> None:
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            raise MethodError(
                f"the plug-in {entry.name} ({entry.value}) could not be loaded: {error!r}. Update or remove its package."
            ) from error
