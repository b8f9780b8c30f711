"""Sparse attention that plugs into transformers models, beside its dense and its random twin.

    import fewer.attention
    fewer.attention.configure(model, "anchor", theta=8.0)       # a loaded transformers model, from now on
    AutoModelForCausalLM.from_pretrained(id, attn_implementation="fewer_anchor")

Importing this package registers the names with transformers where transformers has been imported already, and when
`configure` is called; `fewer.attention.register()` does so at once.
"""
