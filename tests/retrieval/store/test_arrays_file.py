"""A file of arrays gives back what it was given, or says what is wrong with it."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from fewer.errors import IndexFileError
from fewer.retrieval.store.arrays_file import open_arrays, pack_arrays, unpack_arrays, write_arrays

NUMBERS = st.sampled_from(["u1", "i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "?", ">i4"])


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "some.index"
    write_arrays(path, "kind", {"a": [1, "x"]}, {"one": np.arange(100, dtype=np.float32), "none": np.zeros((0, 3), np.int64)})
    return path


@given(
    st.dictionaries(st.text(max_size=5), arrays_of.arrays(NUMBERS, arrays_of.array_shapes(min_dims=1, min_side=0)), max_size=4)
)
def test_what_is_packed_comes_back(arrays):
    back = unpack_arrays(pack_arrays("k", {"s": None}, arrays), "memory")
    assert (back.kind, back.settings, list(back.arrays)) == ("k", {"s": None}, list(arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)


def test_arrays_begin_at_multiples_of_64_bytes_and_are_read_only_maps(path):
    one = open_arrays(path).arrays["one"]
    assert one.ctypes.data % 64 == 0 and not one.flags.writeable and not one.flags.owndata


def test_the_same_content_has_the_same_digest(path, tmp_path):
    again = write_arrays(tmp_path / "b", "kind", {"a": [1, "x"]}, dict(open_arrays(path).arrays))
    assert again == open_arrays(path).digest


def test_a_flipped_byte_anywhere_is_found(path):
    content = bytearray(path.read_bytes())
    padding = set(range(48, 64)) | set(range(len(content) - 48, len(content)))
    header = struct.unpack_from("<I", content, 12)[0]
    padding |= set(range(64 + header, 64 + (header + 63) // 64 * 64))
    for at in set(range(len(content))) - padding:
        content[at] ^= 1
        with pytest.raises(IndexFileError):
            unpack_arrays(bytes(content), "memory")
        content[at] ^= 1


@pytest.mark.parametrize("keep", [0, 10, 63, 64, 200, -1])
def test_a_file_that_was_cut_short_says_so(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    with pytest.raises(IndexFileError, match=r"cut short|no index file|damaged"):
        open_arrays(path)


def test_another_version_says_which(path):
    content = bytearray(path.read_bytes())
    content[8:12] = struct.pack("<I", 7)
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match="format version 7; this fewer reads 1"):
        open_arrays(path)


def test_damage_of_an_array_is_passed_over_only_when_asked(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match="array 'one' does not have its checksum"):
        open_arrays(path)
    assert len(open_arrays(path, check=False).arrays["one"]) == 100


def test_what_is_missing_or_no_file_is_named(tmp_path):
    with pytest.raises(IndexFileError, match="cannot be read: No such file"):
        open_arrays(tmp_path / "none")
    with pytest.raises(IndexFileError, match="cannot be read"):
        open_arrays(tmp_path)


def test_objects_are_refused(tmp_path):
    with pytest.raises(TypeError, match="has type object"):
        write_arrays(tmp_path / "x", "k", {}, {"bad": np.array([{}])})
    assert list(tmp_path.iterdir()) == []
