"""The error of this room."""

from fewer.core.errors import FewerError


class MeasureError(FewerError):
    """Something that cannot be measured: too few values, non-finite outputs, or names that the model does not have."""
