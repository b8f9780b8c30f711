"""One file a method. Importing this package registers them all."""

from fewer.activations.methods.all_inputs import AllInputs
from fewer.activations.methods.cats import CATS
from fewer.activations.methods.magnitude_channels import MagnitudeChannels
from fewer.activations.methods.r_sparse import RSparse
from fewer.activations.methods.teal import TEAL

__all__ = ["CATS", "TEAL", "AllInputs", "MagnitudeChannels", "RSparse"]
