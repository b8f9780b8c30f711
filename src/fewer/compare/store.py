"""The run store: finished cells, one JSON line each, appended and synced. A kill loses the running cell at most."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fewer.compare.task import Measurement
from fewer.errors import StoreError


def key_of(configuration: Mapping[str, Any]) -> str:
    """Name of the cell that this configuration describes; any change of a parameter makes another cell."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True, default=str).encode()).hexdigest()[:20]


class Store:
    """Cells by key, in `folder`/cells.jsonl. Use as a context manager: one process at a time writes.

    A line that a crash cut off is dropped when the store is opened; any other damage is an error, never skipped.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.path = self.folder / "cells.jsonl"
        self._cells: dict[str, tuple[Measurement, float]] = {}

    def __enter__(self) -> "Store":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / ".lock", timeout=0)
            self._lock.acquire()
        except Timeout:
            raise StoreError(f"another run is writing to {self.folder}. Wait for it, or give another folder (--out).") from None
        except OSError as error:
            raise StoreError(
                f"{self.folder} cannot be written: {error.strerror or error}. Give another folder (--out)."
            ) from None
        try:
            self._read()
            # Unbuffered: what could not be written must not be tried again when the file is closed.
            self._file = self.path.open("ab", buffering=0)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._lock.release()

    def __len__(self) -> int:
        return len(self._cells)

    def get(self, key: str) -> tuple[Measurement, float] | None:
        """The measurement and its seconds, or None."""
        return self._cells.get(key)

    def put(self, key: str, measurement: Measurement, seconds: float) -> None:
        """Append one cell; on disk when this returns. Raises StoreError when the disk is full or gone."""
        line = json.dumps({"key": key, "seconds": seconds, **asdict(measurement)}).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # else the cut-off line is dropped when the store is opened again
                os.truncate(self.path, end)
            raise StoreError(f"{self.path} cannot be written: {error.strerror or error}. Finished cells are kept.") from None
        self._cells[key] = (measurement, seconds)

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole, cut = content.rpartition(b"\n")[::2]
        if cut:
            with self.path.open("r+b") as file:
                file.truncate(len(content) - len(cut))
        for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
            try:
                cell = json.loads(line)
                key, seconds = cell.pop("key"), cell.pop("seconds")
                self._cells[key] = (Measurement(**cell), seconds)
            except (ValueError, TypeError, KeyError, AttributeError):
                raise StoreError(
                    f"line {number} of {self.path} is damaged. Remove that line; its cell is measured again."
                ) from None
