"""`fewer.compare`: any methods beside dense and random, on a task known by name."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from fewer.errors import MethodError

if TYPE_CHECKING:
    from fewer.compare.comparison import Comparison, Progress
    from fewer.compare.result import Results
    from fewer.compare.task import Task
    from fewer.core.method import Method
    from fewer.core.pattern import Pattern

TASKS = {
    "smollm2-perplexity": "SmolLM2-135M on held-out text: WikiText-2 where FEWER_DATA has it, else Python's own reference.",
    "tiny-perplexity": "A small byte-level language model, trained here in about a minute, on held-out text.",
    "digits": "A small network trained dense on scikit-learn's digits, pruned after training.",
    "images": "A small ResNet trained from scratch by each method: MNIST where FEWER_DATA has it, else scikit-learn's digits.",
    "images-vit": "The same with a small vision transformer.",
    "digits-convergence": "A perceptron trained from scratch by each method on scikit-learn's digits, and how fast it learns.",
}
"""Names for `compare` and `fewer compare --task`, and what each is."""


def task(name: str) -> "Task":
    """A task by name, on the data this machine has. Raises MethodError for an unknown one."""
    from fewer.core.registry import nearest

    if name not in TASKS:
        raise MethodError(f'task "{name}" is unknown{nearest(name, TASKS)}; allowed: {", ".join(TASKS)}.')
    if name == "digits":
        from fewer.weights.tasks.pretrained_digits import PretrainedDigits

        return PretrainedDigits()
    if name == "digits-convergence":
        from fewer.weights.tasks.digits_convergence import DigitsConvergence

        return DigitsConvergence()
    if name.startswith("images"):
        from fewer.weights.tasks.images import small_resnet, small_vit

        return small_vit() if name == "images-vit" else small_resnet()
    from fewer.weights.tasks.language import LanguageModelPerplexity

    if name == "tiny-perplexity":
        return LanguageModelPerplexity(
            model="tiny-bytes", text="python-topics", text_source="embedded", length=256, sequences=16, windows=16
        )
    return LanguageModelPerplexity.on_default_text(sequences=8, windows=5)


def methods() -> "dict[str, type[Method]]":
    """Every method that can be run now, by slug: systems, the baselines they are compared with, and third parties'.

    `fewer.systems()` are the 37 published systems, with the state of each.
    """
    from fewer.core.registry import methods as registered

    for module in ("fewer.weights.methods", "fewer.weights.training.methods"):
        import_module(module)
    return registered()


def arms(
    names: "Sequence[str | Method]", pattern: "str | Pattern | None" = None, on: "Task | None" = None
) -> "dict[str, Method]":
    """Dense, random, then each of `names`, with its own random twin where that is more than random positions.

    A method that moves the weights it keeps has a twin that does the same at random positions; for one that only
    chooses, plain random is the twin. Beside training methods, dense is dense training and random a random mask that stays;
    by its slug, one that renews its mask does so some 30 times in the training of the task `on`.
    """
    from fewer.core.method import Method
    from fewer.weights.prune import resolve
    from fewer.weights.pruner import Pruner
    from fewer.weights.training.trainer import Trainer

    known = methods()
    if any(issubclass(known.get(n, Method) if isinstance(n, str) else type(n), Trainer) for n in names):
        return _training_arms(names, pattern, on)
    found: dict[str, Method] = {}
    for name in ("dense", "random", *names):
        method = resolve(name, pattern)  # type: ignore[arg-type]
        slug = name if isinstance(name, str) else method.spelling
        found[slug] = method
        if method.kind == "method" and any(
            getattr(type(method), step) is not getattr(Pruner, step) for step in ("prune", "apply", "refine")
        ):
            found[f"random:{slug}"] = method.random_twin()
    return found


def _training_arms(names: "Sequence[str | Method]", pattern: "str | Pattern | None", on: "Task | None") -> "dict[str, Method]":
    from fewer.core import method as named
    from fewer.weights.training.dense import DenseTraining
    from fewer.weights.training.random_pruning import RandomPruning
    from fewer.weights.training.updates import paced

    if pattern is not None:
        raise MethodError("training methods have patterns of their own: leave the pattern out.")
    problem = getattr(on, "problem", None)
    found: dict[str, Method] = {"dense": DenseTraining(), "random": RandomPruning()}
    for name in names:
        method = named(name) if isinstance(name, str) else name
        if isinstance(name, str) and problem is not None:
            method = paced(method, problem.steps(1.0))
        if method in found.values():
            continue
        slug = name if isinstance(name, str) else method.slug
        found[slug] = method
        if method.kind == "method" and (twin := method.random_twin()) not in found.values():
            found[f"random:{slug}"] = twin
    return found


def comparison(
    names: "Sequence[str | Method]",
    on: "str | Task",
    budgets: Sequence[float],
    seeds: int | Sequence[int],
    pattern: "str | Pattern | None" = None,
    title: str = "",
) -> "Comparison":
    """The comparison that `compare` runs. Raises MethodError when no method is named or a name is unknown."""
    from fewer.compare.comparison import Comparison

    if not names:
        raise MethodError('name at least one method to compare, such as "wanda"; `fewer.methods()` lists them.')
    chosen = task(on) if isinstance(on, str) else on
    beside = arms(names, pattern, chosen)
    labels = [name for name, arm in beside.items() if arm.kind == "method"]
    return Comparison(
        name="-".join(labels).replace(":", "-") or "random",
        title=title or f"{', '.join(labels) or 'random'} beside dense and random",
        task=chosen,
        arms=beside,
        budgets=tuple(budgets),
        seeds=range(seeds) if isinstance(seeds, int) else tuple(seeds),
        twins={name: name.partition(":")[2] for name in beside if name.startswith("random:")},
    )


def compare(
    *names: "str | Method",
    task: "str | Task" = "smollm2-perplexity",
    budgets: Sequence[float] = (0.5, 0.4, 0.3),
    seeds: int | Sequence[int] = 3,
    pattern: "str | Pattern | None" = None,
    folder: str | Path | None = None,
    progress: "Progress | None" = None,
) -> "Results":
    """Run methods beside the dense model and the random baselines, and return the results.

    Args:
        names: slugs, or methods with parameters of your own.
        task: a name from `TASKS`, or a `Task`.
        budgets: densities, shares of the weights kept.
        seeds: how many, or which.
        pattern: for every arm; each method's own when None.
        folder: where finished cells are kept, so that a run that is cut off goes on; nothing is kept when None.

    Raises:
        MethodError, PatternError, BudgetError, DataError, ModelError, StoreError
    """
    results = comparison(names, task, budgets, seeds, pattern).run(folder, progress)
    if folder is not None:
        results.save(folder)
    return results
