"""`fewer.accelerate`: for each layer the fastest of dense and sparse kernels, as measured here and now."""

from fewer.weights.accelerate.choose import accelerate, decelerate
from fewer.weights.accelerate.linear import FastLinear
from fewer.weights.accelerate.report import Acceleration, Choice

__all__ = ["Acceleration", "Choice", "FastLinear", "accelerate", "decelerate"]
