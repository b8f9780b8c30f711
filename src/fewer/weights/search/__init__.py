"""Random search over sub-networks: the baseline that any other search must beat at an equal number of evaluations.

`search` is the call; `nodes` and `weights` draw sub-networks, `loss`, `warm` and `gradient` score them, `crew` and `cluster`
are who does the work. `random_search` is the method of that name, which trains what the search found.
"""
