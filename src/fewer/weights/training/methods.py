"""All training methods by name. Importing this module registers them."""

from fewer.weights.iso_flop.sparse_ift import DenseWide, SparseIFT
from fewer.weights.search.random_search import RandomSearch
from fewer.weights.training.dense import DenseTraining, SmallDense
from fewer.weights.training.evolve import SET
from fewer.weights.training.gradual import GradualMagnitude
from fewer.weights.training.magnitude import MagnitudeFinetuned
from fewer.weights.training.neurons import NeuronsFinetuned
from fewer.weights.training.random_pruning import RandomPruning
from fewer.weights.training.ranked import GraspTraining, SnipTraining
from fewer.weights.training.rigl import RigL

__all__ = [
    "SET",
    "DenseTraining",
    "DenseWide",
    "GradualMagnitude",
    "GraspTraining",
    "MagnitudeFinetuned",
    "NeuronsFinetuned",
    "RandomPruning",
    "RandomSearch",
    "RigL",
    "SmallDense",
    "SnipTraining",
    "SparseIFT",
]
