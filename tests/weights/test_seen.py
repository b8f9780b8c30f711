import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import noise
from fewer.errors import CalibrationError
from fewer.weights.seen import Hessian, InputNorm, Moments, Seen, together


@settings(deadline=None, max_examples=30)
@given(chunks=st.lists(st.integers(1, 9), min_size=1, max_size=5), width=st.integers(1, 12))
def test_statistics_do_not_depend_on_how_the_tokens_are_cut(chunks, width):
    x = noise((sum(chunks), width), 0) - 0.5
    norm, hessian, plain = InputNorm("a", width), Hessian("a", width), Seen("a", width)
    for part in x.split(chunks):
        for seen in (norm, hessian, plain):
            seen.update(part)
    torch.testing.assert_close(norm.norm, x.norm(dim=0))
    torch.testing.assert_close(hessian.products, x.t() @ x)
    assert norm.tokens == hessian.tokens == plain.tokens == len(x)


def test_the_factor_is_the_upper_cholesky_factor_of_the_inverse_damped_hessian():
    x = (noise((60, 10), 0) - 0.5).double()
    seen = Hessian("a", 10)
    seen.update(x.float())
    H = 2 / 60 * x.t() @ x
    H += 0.01 * H.diagonal().mean() * torch.eye(10)
    upper = torch.linalg.cholesky(torch.linalg.inv(H)).t()  # unique: upper triangular with a positive diagonal, U^T U = inverse
    torch.testing.assert_close(seen.factor(0.01).double(), upper, rtol=1e-3, atol=1e-3)
    assert bool((seen.factor(0.01).tril(-1) == 0).all())


def test_the_factor_is_made_anew_when_more_is_seen():
    seen = Hessian("a", 4)
    seen.update(noise((9, 4), 0))
    before = seen.factor(0.01)
    assert seen.factor(0.01) is before and seen.factor(0.1) is not before
    seen.update(noise((9, 4), 1) * 5)
    assert not torch.equal(seen.factor(0.01), before)


def test_the_error_is_the_mean_squared_change_of_the_output():
    x, change = noise((50, 6), 0) - 0.5, noise((3, 6), 1) - 0.5
    seen = Hessian("a", 6)
    seen.update(x)
    assert seen.error(change) == pytest.approx(float((x @ change.t()).square().sum() / 50), rel=1e-5)


def test_inputs_that_were_always_zero_are_dead_and_do_no_harm():
    x = noise((30, 5), 0)
    x[:, [1, 3]] = 0
    seen = Hessian("a", 5)
    seen.update(x)
    assert seen.dead.tolist() == [False, True, False, True, False]
    assert bool(seen.factor(0.01).isfinite().all())


def test_a_singular_hessian_says_how_to_mend_it():
    seen = Hessian("fc1", 8)
    seen.update(torch.ones(2, 8))
    with pytest.raises(CalibrationError, match=r"Hessian of fc1 is singular after 2 tokens with damping 0.*or raise damping"):
        seen.factor(0.0)


@pytest.mark.parametrize("kind", [InputNorm, Moments, Hessian, together(Moments, Hessian)])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_inputs_that_are_not_finite_or_overflow_are_refused_by_name(kind, bad):
    seen = kind("fc1", 3)
    seen.update(torch.tensor([[1.0, bad, 2.0]]))
    with pytest.raises(CalibrationError, match="the input of fc1 is NaN or infinite"):
        seen.check()


def test_statistics_under_another_name_are_the_same_statistics():
    seen = Hessian("q", 4)
    seen.update(noise((9, 4), 0))
    other = seen.named("k")
    assert (seen.name, other.name) == ("q", "k") and other.products is seen.products
    assert other.factor(0.01) is seen.factor(0.01)


def test_a_part_of_the_columns_reads_its_part_of_the_factor():
    seen = Hessian("q", 6)
    seen.update(noise((20, 6), 0))
    whole, part = seen.factor(0.01), seen.columns(2, 5)
    assert torch.equal(part.factor(0.01), whole[2:5, 2:5])
    assert (part.name, part.width, part.start, part.stop) == ("q[2:5]", 3, 2, 5)


@settings(deadline=None, max_examples=30)
@given(chunks=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any), shift=st.sampled_from([0.0, 1.0, 1000.0]))
def test_moments_are_pooled_over_chunks_whose_means_differ(chunks, shift):
    parts = [noise((n, 6), i) + shift * (i + 1) for i, n in enumerate(chunks)]
    seen = Moments("a", 6)
    for part in parts:
        seen.update(part)
    x = torch.cat(parts).double()
    torch.testing.assert_close(seen.mean, x.mean(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(seen.variance.double(), x.var(0, correction=0), rtol=1e-5, atol=1e-5)


def test_an_input_that_never_changes_has_no_variance_at_all():
    seen = Moments("a", 3)
    for part in torch.tensor([[0.1, 0.0, 7.3]]).expand(100, 3).split(7):
        seen.update(part)
    assert seen.variance.tolist() == [0, 0, 0]


def test_joined_statistics_gather_what_each_of_them_gathers_and_count_tokens_once():
    x, joined = noise((40, 5), 0) - 0.3, together(Moments, Hessian)
    assert joined is together(Moments, Hessian) and issubclass(joined, Moments) and issubclass(joined, Hessian)
    seen, alone = joined("a", 5), [kind("a", 5) for kind in (Moments, Hessian, InputNorm)]
    for part in x.split(11):
        for one in (seen, *alone):
            one.update(part)
    assert seen.tokens == 40
    assert torch.equal(seen.mean, alone[0].mean) and torch.equal(seen.variance, alone[0].variance)
    assert torch.equal(seen.products, alone[1].products) and torch.equal(seen.norm, alone[2].norm)
    assert seen.named("b").error(x) == alone[1].error(x)


def test_statistics_that_are_part_of_others_are_not_gathered_twice():
    assert together(Moments, InputNorm, Seen, Moments) is Moments
    assert together(Seen) is together(Seen, Seen) is Seen
