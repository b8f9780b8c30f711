"""The ten-lessons report card: what a comparison did and did not show.

Ten questions that any result on sparsity should answer, after Liu & Wang 2023 (arXiv 2302.02596). Items 1 to 6 follow the
axes that its abstract names; items 7 to 10 come from the same authors' other work. Every item is computed from the rows,
stated by the method, or printed as missing, and missing never passes. `facts.FACTS` says what a task may report for it.
"""

from fewer.compare.lessons.classes import comparable, ranking
from fewer.compare.lessons.facts import FACTS
from fewer.compare.lessons.item import QUESTIONS, Card, Item
from fewer.compare.lessons.report import card

__all__ = ["FACTS", "QUESTIONS", "Card", "Item", "card", "comparable", "ranking"]
