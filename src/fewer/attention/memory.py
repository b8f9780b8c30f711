"""What a method remembers between layers, steps of decoding, or steps of denoising."""

from typing import Any


class Memory(dict[Any, Any]):
    """A dict that belongs to one model and one thread.

    A method writes under keys of its own. What it reads it must have written in this forward pass, or it must check that it is
    of the step before: another prompt may have come in between.
    """

    def of_row(self, row: int) -> "Memory":
        """That of one sequence of a padded batch, which is attended to by itself."""
        return self.setdefault(("row", row), Memory())
