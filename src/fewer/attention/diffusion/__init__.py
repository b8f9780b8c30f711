"""Masked-diffusion language models: samplers, and sparse attention for models that do not call transformers' interface.

from fewer.attention import configure
from fewer.attention.diffusion import LLaDA

configure(model, "sparsed", block=32, select=0.5)           # any bidirectional transformers model with a mask token
tokens = LLaDA(steps=128, length=128, block=32)(model, prompt)
"""

from fewer.attention.denoising import Denoising
from fewer.attention.diffusion.attach import Attached, attach
from fewer.attention.diffusion.dream import Dream
from fewer.attention.diffusion.llada import LLaDA
from fewer.attention.diffusion.load import Loaded, load
from fewer.attention.diffusion.memory_of import memory_of
from fewer.attention.diffusion.sampler import Sampler

__all__ = ["Attached", "Denoising", "Dream", "LLaDA", "Loaded", "Sampler", "attach", "load", "memory_of"]
