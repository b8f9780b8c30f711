"""Every error that fewer raises on purpose: what was given, what is allowed, what to do."""


class FewerError(Exception):
    """The root: `except FewerError` catches whatever the user can mend. Its text is the whole message."""


class ScoreError(FewerError):
    """Scores that cannot be ranked: not a number, infinite, or of the wrong shape."""


class PatternError(FewerError):
    """A pattern that is not known, or that does not fit the shape it was given."""


class BudgetError(FewerError):
    """A budget out of its range, or one that a pattern cannot meet."""


class ScheduleError(FewerError):
    """A schedule whose steps or densities make no sense."""


class SelectionError(FewerError):
    """A selection that does not belong to the subject, or whose file is damaged."""


class MethodError(FewerError):
    """A method, claim or benchmark that no one registered, or one that cannot do what was asked."""


class CalibrationError(FewerError):
    """Calibration data that is empty, not finite, or never reached a layer."""


class ModelError(FewerError):
    """A model that cannot be found, loaded, walked or saved."""


class DataError(FewerError):
    """A data set that is unknown, unreachable or differs from its checksum."""


class StoreError(FewerError):
    """A run store that is damaged, locked, or belongs to another configuration."""


class ResumeError(FewerError):
    """A checkpoint that is damaged, or of another configuration or model than what is to go on from it."""


class MissingExtraError(FewerError):
    """An optional dependency that is not installed; the message names the extra."""


class MeasureError(FewerError):
    """A measurement that cannot be made of what was given."""


class SearchError(FewerError):
    """A sample of a search that could not be evaluated; the message says which."""


class KernelError(FewerError):
    """Operands that a kernel, or the form it reads, cannot hold."""


class VectorError(FewerError):
    """Sparse vectors that no index can hold, or a query that none can answer."""


class RetrievalError(FewerError):
    """An index, a search or a run that was asked for what it does not have."""


class IndexFileError(FewerError):
    """An index on disk that is damaged, locked, or of another version."""


class AttentionError(FewerError):
    """Attention that cannot be made sparse: shapes, masks, padding or models that are not understood; settings out of range."""
