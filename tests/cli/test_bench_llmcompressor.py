import subprocess

import pytest

from fewer.cli.bench import find
from fewer.errors import MissingExtraError


def test_a_peer_environment_that_cannot_be_made_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))
    calls = []

    def no_network(command, **_):
        calls.append(command)
        return subprocess.CompletedProcess(command, 1, "", "a long story\nno matching distribution")

    monkeypatch.setattr(subprocess, "run", no_network)
    with pytest.raises(
        MissingExtraError, match=r"no matching distribution\nMake it by hand.*(\n.*)*pip install llmcompressor=="
    ):
        next(find()["llmcompressor"].run())
    assert len(calls) == 1 and not list(tmp_path.rglob("ready"))
