"""What a method remembers between layers, steps of decoding, or steps of denoising."""

from typing import Any


class Memory(dict[Any, Any]):
    """A dict that belongs to one model. A method writes under keys of its own and never reads what it has not written in this
    forward pass (or checks that it is of the step before): another prompt may have come in between.
    """
