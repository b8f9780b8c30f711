"""Sparse attention that plugs into transformers models, beside its dense and its random twin.

    import fewer.attention
    fewer.attention.configure(model, "anchor", theta=8.0)       # a loaded transformers model, from now on
    AutoModelForCausalLM.from_pretrained(id, attn_implementation="fewer_anchor")
    fewer.attention.fit(model, text, loss_budget=0.02, tokenizer=tokenizer, held_out=another)

Importing this package registers the names with transformers.
"""

from fewer.attention.cache import Cache
from fewer.attention.fit import fit
from fewer.attention.registered import register
from fewer.attention.settings import NAMES, configure, named
from fewer.attention.sweep import sweep

__all__ = ["NAMES", "Cache", "configure", "fit", "named", "register", "sweep"]
