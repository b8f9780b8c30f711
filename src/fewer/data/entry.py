"""A row of the tables of data sets and models."""

from dataclasses import dataclass
from typing import Literal

from fewer.data.files import File
from fewer.data.sources import Source


@dataclass(frozen=True)
class Entry:
    """A data set or a model: what it is, under which terms, and where it comes from."""

    name: str
    kind: str
    """What its loader returns (see `fewer.data.load`), or what the model is."""
    about: str
    licence: str
    files: tuple[File, ...] = ()
    """Empty for an embedded set."""
    sources: tuple[Source, ...] = ()
    """After the user's folder and the cache, which always come first."""
    group: Literal["data", "models"] = "data"

    @property
    def size(self) -> int:
        """Bytes as distributed; 0 for an embedded set."""
        return sum(file.size for file in self.files)

    @property
    def variable(self) -> str:
        """The environment variable of the user's folder."""
        return "FEWER_DATA" if self.group == "data" else "FEWER_MODELS"
