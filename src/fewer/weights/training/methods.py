"""All training methods by name. Importing this module registers them."""

from fewer.weights.training.dense import DenseTraining, SmallDense
from fewer.weights.training.evolve import SET
from fewer.weights.training.gradual import GradualMagnitude
from fewer.weights.training.magnitude import MagnitudeFinetuned
from fewer.weights.training.neurons import NeuronsFinetuned
from fewer.weights.training.rigl import RigL
from fewer.weights.training.static import Static

__all__ = ["SET", "DenseTraining", "GradualMagnitude", "MagnitudeFinetuned", "NeuronsFinetuned", "RigL", "SmallDense", "Static"]
