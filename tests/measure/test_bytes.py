import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from fewer.errors import MeasureError
from fewer.measure import disk_bytes, storage_forms


def random_mask(rows, columns, density, seed=0):
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < density


shapes = st.tuples(st.integers(1, 20), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))


@given(shapes, st.sampled_from([1, 4, 8, 16, 32]))
def test_dense_bitmask_and_csr_follow_their_formulas(shape, bits):
    mask = random_mask(*shape)
    rows, columns, kept = *mask.shape, int(mask.sum())
    forms = storage_forms(mask, bits)
    values = -(-kept * bits // 8)
    assert forms["dense"] == -(-rows * columns * bits // 8)
    assert forms["bitmask"] == values + -(-rows * columns // 8)
    assert forms["csr"] == values + 2 * kept + 4 * (rows + 1)


def test_csr_is_scipys_with_16_bit_columns():
    mask = random_mask(30, 50, 0.2)
    theirs = csr_array(mask.float().numpy())
    assert storage_forms(mask)["csr"] == theirs.data.nbytes + theirs.indices.nbytes // 2 + theirs.indptr.nbytes


def test_wide_rows_need_32_bit_columns():
    mask = torch.zeros(1, 2**16 + 1, dtype=torch.bool)
    mask[0, :5] = True
    assert storage_forms(mask)["csr"] == 5 * 4 + 5 * 4 + 2 * 4
    assert storage_forms(mask[:, :-1])["csr"] == 5 * 4 + 5 * 2 + 2 * 4


def test_two_of_four_takes_half_the_values_and_two_bits_each():
    mask = torch.tensor([True, True, False, False]).repeat(8, 4)
    assert storage_forms(mask, 16)["2:4"] == 64 * 2 + 64 * 2 // 8


@given(st.sampled_from([(1, 2), (1, 4), (2, 4), (4, 8), (3, 16)]), st.integers(0, 99))
def test_a_mask_made_n_of_m_has_such_a_form_that_is_no_larger(nm, seed):
    n, m = nm
    scores = torch.rand(6, 4, m, generator=torch.Generator().manual_seed(seed))
    mask = (scores.argsort(-1).argsort(-1) < n).flatten(1)
    packed = [size for name, size in storage_forms(mask).items() if ":" in name]
    slots = 24 * n
    assert packed and packed[0] <= slots * 4 + -(-slots * (m - 1).bit_length() // 8)


def test_one_group_too_full_is_not_n_of_m():
    mask = torch.tensor([True, True, False, False]).repeat(8, 4)
    mask[3, 4:8] = True
    assert "2:4" not in storage_forms(mask)


@given(st.sampled_from([4, 8, 16]), st.integers(0, 99))
def test_a_blocky_mask_stores_its_blocks(b, seed):
    opened = random_mask(4, 4, 0.5, seed)
    opened[0] = torch.tensor([True, False, True, False])  # no larger tile is whole
    mask = opened.repeat_interleave(b, 0).repeat_interleave(b, 1)
    kept = int(opened.sum())
    assert storage_forms(mask)[f"block {b}x{b}"] == kept * b * b * 4 + kept * 2 + 5 * 4


def test_unstructured_masks_have_only_the_general_forms():
    assert set(storage_forms(random_mask(64, 64, 0.6))) == {"dense", "bitmask", "csr"}


def test_whole_rows_and_whole_columns_store_as_smaller_dense_tensors():
    mask = torch.zeros(9, 7, dtype=torch.bool)
    mask[[1, 4, 5]] = True
    assert storage_forms(mask)["rows"] == 3 * 7 * 4 + 2
    assert "columns" not in storage_forms(mask)
    assert storage_forms(mask.T)["columns"] == 3 * 7 * 4 + 2


def test_convolutions_lie_as_rows_of_outputs():
    mask = random_mask(8, 36, 0.5)
    assert storage_forms(mask.view(8, 4, 3, 3)) == storage_forms(mask)


@pytest.mark.parametrize("mask", [torch.ones(4, 4), torch.ones(4, dtype=torch.bool), torch.ones(0, 4, dtype=torch.bool)])
def test_what_is_no_mask_is_an_error(mask):
    with pytest.raises(MeasureError):
        storage_forms(mask)


def test_a_folder_counts_each_file_once(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / "sub" / "b").write_bytes(b"x" * 23)
    (tmp_path / "sub" / "link").symlink_to(tmp_path / "a")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert disk_bytes(tmp_path) == 123
    assert disk_bytes(tmp_path / "sub" / "link") == 100
    with pytest.raises(MeasureError, match="nowhere"):
        disk_bytes(tmp_path / "nowhere")
