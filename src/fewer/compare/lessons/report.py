"""The card of a comparison."""

from fewer.compare.lessons import classes, gaps, hardware, kinds, moved, real
from fewer.compare.lessons.item import Card, Item
from fewer.compare.lessons.readings import Subject
from fewer.compare.result import Results


def card(results: Results) -> Card:
    """Answers all ten questions for each arm that is not dense, at each budget at which it has rows.

    Nothing depends on the order of the rows or on what the seeds are called. Below three seeds nothing is judged.
    """
    items: list[Item] = []
    for arm, facts in results.arms.items():
        for budget in results.budgets:
            if facts.kind != "dense" and results.of(arm, budget):
                items += _about(Subject(results, arm, budget))
    return Card(tuple(items))


def _about(subject: Subject) -> list[Item]:
    return [
        *gaps.small_dense(subject),
        *hardware.pattern(subject),
        *hardware.speed(subject),
        *kinds.phase(subject),
        *kinds.training_cost(subject),
        *kinds.movement(subject),
        *classes.comparable_with(subject),
        *gaps.random_masks(subject),
        *gaps.training_length(subject),
        *moved.beside_accuracy(subject),
        *real.sparsity(subject),
        *real.saturated(subject),
    ]
