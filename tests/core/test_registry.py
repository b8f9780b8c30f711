import importlib.metadata
from dataclasses import dataclass

import pytest

import fewer.weights.methods  # noqa: F401 - registers them
from fewer.core import Method, method, methods, register, registry
from fewer.errors import MethodError


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    registry._load.cache_clear()
    yield
    registry._load.cache_clear()


@dataclass(frozen=True)
class Mine(Method):
    slug = "mine"


class EntryPoint:
    name, value = "mine", "some.package:Mine"

    def __init__(self, load):
        self.load = load


def test_a_registered_method_is_found_by_its_slug(own_registry):
    register(Mine)
    assert method("mine", seed=3) == Mine(seed=3)
    assert list(methods()) == sorted(methods()) and methods()["mine"] is Mine


def test_a_plug_in_is_loaded_when_methods_are_asked_for(own_registry, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [EntryPoint(lambda: register(Mine))])
    assert method("mine") == Mine()


def test_a_plug_in_that_fails_is_named(own_registry, monkeypatch):
    def broken():
        raise ImportError("no such wheel")

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [EntryPoint(broken)])
    with pytest.raises(MethodError, match=r"plug-in mine \(some.package:Mine\).*no such wheel.*Update or remove"):
        methods()


def test_an_unknown_slug_names_the_nearest_and_lists_all():
    with pytest.raises(MethodError, match=r'"wandaa" is unknown \(did you mean "wanda"\?\); allowed: .*sparsegpt'):
        method("wandaa")
    with pytest.raises(MethodError, match=r'"random:sparsegtp" is unknown|"sparsegtp" is unknown \(did you mean "sparsegpt"'):
        method("random:sparsegtp")


@pytest.mark.parametrize("slug", ["", "random:", ":wanda", "zzzz", "Wanda"])
def test_what_is_no_slug_is_refused(slug):
    with pytest.raises(MethodError, match="is unknown"):
        method(slug)


def test_a_slug_that_is_taken_is_refused(own_registry):
    register(Mine)
    other = type("Other", (Method,), {"slug": "mine"})
    with pytest.raises(MethodError, match='"mine" is taken'):
        register(other)
    assert methods()["mine"] is Mine


def test_a_class_of_the_same_name_elsewhere_does_not_take_the_slug(own_registry):
    register(Mine)
    stranger = type("Mine", (Method,), {"slug": "mine", "__module__": "another.package", "__qualname__": Mine.__qualname__})
    with pytest.raises(MethodError, match='"mine" is taken'):
        register(stranger)


def test_a_module_that_is_loaded_again_registers_again(own_registry):
    register(Mine)
    again = type("Mine", (Method,), {"slug": "mine", "__module__": Mine.__module__, "__qualname__": Mine.__qualname__})
    assert register(again) is again and methods()["mine"] is again


def test_a_method_without_a_slug_is_refused(own_registry):
    with pytest.raises(MethodError, match="is empty"):
        register(type("Nameless", (Method,), {}))


def test_parameters_that_a_method_does_not_take_are_refused():
    with pytest.raises(MethodError, match=r"sparsegpt does not take these parameters: .*dampening"):
        method("sparsegpt", dampening=0.1)
