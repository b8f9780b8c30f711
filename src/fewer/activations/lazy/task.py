"""Do few units fire once a network is trained, and is it better when only few may?"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewer.activations.lazy.fit import Stopped, fit, fit_bytes
from fewer.activations.lazy.measure import Activations, measure
from fewer.activations.lazy.methods import HiddenTraining, switches
from fewer.activations.lazy.networks import CONTEXT, WIDTH, build, logits
from fewer.activations.lazy.scenes import CLASSES, scenes
from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Method, stream
from fewer.data.corrupt import flipped, noisy
from fewer.data.quiet import quiet
from fewer.data.split import shuffled
from fewer.errors import MethodError
from fewer.measure.evaluating import evaluating
from fewer.measure.quality import classification

SCENES = {"train": 3000, "held": 750, "test": 1000}
"""How many are made of each part's digits."""
PART = 256
"""Images in one forward pass of a test."""


class Parts(NamedTuple):
    """Images and their labels. What is held out of training finds the epoch to stop at."""

    train_x: Float[Tensor, "train channels height width"]
    train_y: Int[Tensor, " train"]
    held_x: Float[Tensor, "held channels height width"]
    held_y: Int[Tensor, " held"]
    test_x: Float[Tensor, "test channels height width"]
    test_y: Int[Tensor, " test"]
    classes: int


@dataclass(frozen=True)
class LazyNeurons(Task):
    """Trains each method's network twice, with true labels and with some that are wrong, and tests it on true ones.

    Of the training part a fifth is held out; its labels are as wrong as the others. From it comes the best epoch, whose
    test stands beside that of the last one: what looks like robustness to wrong labels may be slower fitting.
    """

    name: str = "lazy-neurons"
    images: str = "even-digits"
    """"even-digits" are scenes of four of scikit-learn's digits; else a set of labelled images."""
    epochs: int = 10
    """Of the transformers; a perceptron needs two thirds of them."""
    steps: int = 100
    """Of the language model."""
    rate: float = 1e-3
    batch: int = 64
    label_noise: float = 0.4
    """Share of the labels that are drawn anew, uniformly over all classes, so that one in `classes` stays right."""
    input_noise: float = 0.2
    """Standard deviation of the Gaussian noise in tests, in units of the whole range of grey."""
    side: int = 0
    """The network enlarges images to it; 0 leaves them."""
    counted: int = 256
    """Images of each part in which hidden units are counted."""
    traced: tuple[int, ...] = (0, 1, 5, 10, 20, 60)
    """Epochs after which hidden units are counted, besides the last."""
    traced_steps: tuple[int, ...] = (0, 50, 100, 200)
    """Steps, in the language model."""

    @property
    def quality(self) -> Mapping[str, Direction]:
        judged: dict[str, Direction] = {"accuracy": "higher", "accuracy_noisy": "higher"}
        stopped: dict[str, Direction] = {"accuracy_stopped": "higher", "accuracy_noisy_stopped": "higher"}
        calibrated: dict[str, Direction] = {"ece": "lower", "ece_noisy": "lower", "robust": "higher"}
        return {**judged, **stopped, **calibrated, "density": "lower", "highest_density": "lower"}

    @property
    def data(self) -> str:
        return (
            f"{self.images}, trained with true labels and with {self.label_noise:.0%} drawn anew over all classes, tested on "
            f"true ones; the language model reads {_text_set()}"
        )

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for a method that does not train hidden units."""
        if not isinstance(method, HiddenTraining):
            raise MethodError(
                f"{self.name} compares what is done to hidden units in training; {method.slug} does nothing there."
            )
        begun = time.perf_counter()
        run = self._bytes if method.network == "bytes" else self._images
        quality, trace, facts = run(method, budget, seed)
        cost = {"train_seconds": time.perf_counter() - begun, "active_units": facts["active_units"]}
        return Measurement(quality, cost, {"trace": trace, "facts": facts})

    def close(self) -> None:
        _parts.cache_clear()

    def _images(
        self, method: HiddenTraining, budget: Budget, seed: int
    ) -> tuple[dict[str, float], list[dict[str, Any]], dict[str, float]]:
        asks = switches(method)
        parts = _corrupted(_parts(self.images), asks["labels"], asks["inputs"], seed)
        trace: list[dict[str, Any]] = []
        model, stopped = self._train(method, budget, seed, parts, trace)
        found = measure(model, parts.train_x[: self.counted])
        quality = {"density": found.density, "highest_density": found.highest}
        facts = {**_facts(found), "stopped_at": float(stopped.epoch)}
        if not asks["trained"]:
            return quality, trace, facts
        quality |= self._tested(model, stopped, parts, seed, "")
        if asks["whole"]:
            wrong = parts._replace(
                train_y=flipped(parts.train_y, self.label_noise, parts.classes, seed),
                held_y=flipped(parts.held_y, self.label_noise, parts.classes, seed + 1),
            )
            model, stopped = self._train(method, budget, seed, wrong, [])
            quality |= self._tested(model, stopped, parts, seed, "_noisy")
            facts["stopped_at_noisy"] = float(stopped.epoch)
            facts["train_accuracy_noisy"] = _accuracy(model, wrong.train_x, wrong.train_y)
        return quality, trace, facts

    def _train(
        self, method: HiddenTraining, budget: Budget, seed: int, parts: Parts, trace: list[dict[str, Any]]
    ) -> tuple[nn.Module, Stopped]:
        asks = switches(method)
        epochs = 0 if not asks["trained"] else -(-self.epochs * 2 // 3) if method.network == "perceptron" else self.epochs
        with quiet():
            channels, *size = parts.train_x.shape[1:]
            shape = (channels, self.side, self.side) if self.side else (channels, *size)
            model = build(method.network, shape, parts.classes, asks["width"] or WIDTH[method.network], seed)
            if self.side:
                model = nn.Sequential(nn.Upsample(size=self.side, mode="bilinear"), model)
            method.prepare(model, budget, parts.train_x[:1])
            stopped = Stopped(parts.held_x, parts.held_y)

            def watch(epoch: int, model: nn.Module) -> None:
                stopped.look(model, epoch)
                if epoch in self.traced or epoch == epochs:
                    both = {"train": parts.train_x, "test": parts.test_x}
                    trace.append(
                        {"at": epoch, **{part: _by_layer(measure(model, x[: self.counted])) for part, x in both.items()}}
                    )

            fit(
                model,
                parts.train_x,
                parts.train_y,
                epochs=epochs,
                batch=self.batch,
                rate=self.rate,
                seed=seed,
                watch=watch,
            )
        return model, stopped

    def _tested(self, model: nn.Module, stopped: Stopped, parts: Parts, seed: int, after: str) -> dict[str, float]:
        """At the last epoch, then at the best; the model is left at the last."""
        found = classification(_logits(model, parts.test_x), parts.test_y)
        tested = {f"accuracy{after}": found.accuracy, f"ece{after}": found.ece}
        if not after:
            tested["robust"] = _accuracy(model, noisy(parts.test_x, self.input_noise, seed), parts.test_y)
        last = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(stopped.weights)
        tested[f"accuracy{after}_stopped"] = _accuracy(model, parts.test_x, parts.test_y)
        model.load_state_dict(last)
        return tested

    def _bytes(
        self, method: HiddenTraining, budget: Budget, seed: int
    ) -> tuple[dict[str, float], list[dict[str, Any]], dict[str, float]]:
        from fewer.data import text
        from fewer.data.trained.byte_tokens import encode, plain_batch

        asks, trace = switches(method), []
        tokens = {part: encode(text.load(_text_set(), part)) for part in ("train", "test")}
        windows = {part: plain_batch(tokens[part], 16, CONTEXT, stream(0, part)) for part in tokens}
        steps = self.steps if asks["trained"] else 0
        with quiet():
            model = build("bytes", (), 0, asks["width"] or WIDTH["bytes"], seed)
            method.prepare(model, budget, windows["train"])

            def watch(step: int, model: nn.Module) -> None:
                if step in self.traced_steps or step == steps:
                    trace.append({"at": step, **{part: _by_layer(measure(model, x)) for part, x in windows.items()}})

            fit_bytes(model, tokens["train"], steps=steps, length=CONTEXT, seed=seed, watch=watch)
        found = measure(model, windows["train"])
        return {"density": found.density, "highest_density": found.highest}, trace, _facts(found)


def _text_set() -> str:
    from fewer.data.trained.echo_lm import default_text_set

    return default_text_set()


@cache
def _parts(images: str) -> Parts:
    """The digits in their own split of 60 to 40, other sets in theirs; a fifth of the training part is held out.

    A scene's digits are all of one part.
    """
    from fewer.data.images import load

    if images == "even-digits":
        one = _parts("digits")
        return Parts(
            *scenes(one.train_x, one.train_y, SCENES["train"], "train"),
            *scenes(one.held_x, one.held_y, SCENES["held"], "held"),
            *scenes(one.test_x, one.test_y, SCENES["test"], "test"),
            CLASSES,
        )
    found = load(images)
    x, y = np.concatenate([found.train_x, found.test_x]), np.concatenate([found.train_y, found.test_y])
    rows = shuffled(len(y), test=719) if images == "digits" else np.split(np.arange(len(y)), [len(found.train_y)])
    train, test = (torch.from_numpy(np.asarray(part)) for part in rows)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    fifth = len(train) // 5
    held, rest = train[:fifth], train[fifth:]
    classes = len(found.classes)
    return Parts(inputs[rest], labels[rest], inputs[held], labels[held], inputs[test], labels[test], classes)


def _corrupted(parts: Parts, labels: str, inputs: str, seed: int) -> Parts:
    if labels == "random":
        parts = parts._replace(
            train_y=flipped(parts.train_y, 1.0, parts.classes, seed), held_y=flipped(parts.held_y, 1.0, parts.classes, seed + 1)
        )
    if inputs == "random":
        train_x, held_x, test_x = (
            torch.randn(getattr(parts, name).shape, generator=stream(seed, "inputs", name))
            for name in ("train_x", "held_x", "test_x")
        )
        parts = parts._replace(train_x=train_x, held_x=held_x, test_x=test_x)
    return parts


def _logits(model: nn.Module, inputs: Tensor) -> Tensor:
    with evaluating(model), torch.inference_mode():
        return torch.cat([logits(model, part) for part in inputs.split(PART)])


def _accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    return float((_logits(model, inputs).argmax(1) == labels).double().mean())


def _by_layer(found: Activations) -> list[float]:
    return [layer.hidden.density for layer in found.layers]


def _facts(found: Activations) -> dict[str, float]:
    hidden = [layer.hidden for layer in found.layers]
    return {
        "active_units": float(sum(one.density * one.units for one in hidden)),
        "dead_units": float(sum(one.dead for one in hidden)),
        "units": float(sum(one.units for one in hidden)),
    }
