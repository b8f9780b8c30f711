"""One file a method. Importing this package registers them all."""

from fewer.weights.methods.dense import Dense
from fewer.weights.methods.dsnot import DSnoT
from fewer.weights.methods.magnitude import Magnitude
from fewer.weights.methods.random import Random
from fewer.weights.methods.snip import Snip
from fewer.weights.methods.sparsegpt import SparseGPT, SparseGPTMask
from fewer.weights.methods.wanda import Wanda

__all__ = ["DSnoT", "Dense", "Magnitude", "Random", "Snip", "SparseGPT", "SparseGPTMask", "Wanda"]
