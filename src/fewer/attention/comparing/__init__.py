"""All methods on one text, each beside its random twin: what they keep of dense attention, by layer and by head."""

from fewer.attention.comparing.arms import arms
from fewer.attention.comparing.compare import compare
from fewer.attention.comparing.kept import Compared

__all__ = ["Compared", "arms", "compare"]
