"""What every loader's result can say about itself."""

from dataclasses import dataclass

from fewer.data.sources import SourceKind


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A loaded set: its name, and the source that served it, so that a result can say which data it used."""

    name: str
    source: SourceKind
