"""Sparse attention that plugs into transformers models, beside its dense and its random twin.

    import fewer.attention
    fewer.attention.configure(model, "anchor", theta=8.0)       # a loaded transformers model, from now on
    AutoModelForCausalLM.from_pretrained(id, attn_implementation="fewer_anchor")

Importing this package registers the names with transformers.
"""

from fewer.attention.registered import register
from fewer.attention.settings import NAMES, configure, named

__all__ = ["NAMES", "configure", "named", "register"]
