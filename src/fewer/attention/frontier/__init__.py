"""The study of The Sparse Frontier (Nawrot et al. 2025, arXiv 2504.17768): methods x density x length x model size.

`task.py` is what `fewer.compare` runs, `study.py` a grid of them; `tolerable.py` and `isoflop.py` read results.
"""
