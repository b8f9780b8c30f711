import hashlib
import os
from pathlib import Path

import pytest

from fewer.data.entry import Entry
from fewer.data.files import File
from fewer.data.places import Places

CONTENT = b"to be, or not to be\n"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "own").mkdir()
    return Places(data=tmp_path / "own", models=None, cache=tmp_path / "cache")


@pytest.fixture
def entry_of():
    """Makes an entry `hamlet` with one file `hamlet/text.txt` that holds CONTENT, and the given sources."""

    def make(*sources) -> Entry:
        file = File("hamlet/text.txt", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
        return Entry(name="hamlet", kind="text", about="", licence="", files=(file,), sources=sources)

    return make


@pytest.fixture
def shared() -> str:
    """The folder in FEWER_DATA; tests of the shared sets are skipped without it."""
    if not os.environ.get("FEWER_DATA"):
        pytest.skip("FEWER_DATA is not set")
    return os.environ["FEWER_DATA"]
