"""Files appear whole or not at all."""

import stat

import pytest

from fewer.files import write_whole


def test_text_and_bytes_are_written_as_given(tmp_path):
    assert write_whole(tmp_path / "a", "ö").read_bytes() == "ö".encode()
    assert write_whole(tmp_path / "a", b"\x00").read_bytes() == b"\x00"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", "old")

    def interrupted(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("fewer.files.os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
