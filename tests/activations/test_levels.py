"""Thresholds read from a histogram are those of the scores themselves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.activations.levels import Levels
from fewer.errors import CalibrationError


@given(share=st.floats(0.1, 0.99), scale=st.sampled_from([1e-6, 1.0, 300.0]), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_share_of_the_scores_lies_at_or_below_its_threshold(share, scale, seed):
    scores = scale * torch.randn(3000, generator=torch.Generator().manual_seed(seed)).abs()
    levels = Levels("layer")
    for part in scores.split(700):
        levels.update(part.view(-1, 1))
    threshold = levels.threshold(share)
    assert threshold == pytest.approx(float(scores.quantile(share)), rel=0.01)
    assert float((scores <= threshold).float().mean()) == pytest.approx(share, abs=0.003)


def test_nothing_is_below_a_share_of_zero_and_everything_below_a_share_of_one():
    levels = Levels("layer")
    levels.update(torch.tensor([0.0, 1.0, 2.0, 5.0]))
    assert levels.threshold(0.0) == 0.0
    assert 5.0 < levels.threshold(1.0) < 5.01
    assert 2.0 < levels.threshold(0.75) < 2.01


def test_what_cannot_be_ranked_or_never_came_is_refused():
    with pytest.raises(CalibrationError, match="inputs of q are NaN or infinite"):
        Levels("q").update(torch.tensor([1.0, torch.nan]))
    with pytest.raises(CalibrationError, match="never reached q"):
        Levels("q").threshold(0.5)
