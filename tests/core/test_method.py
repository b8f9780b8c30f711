import json

import pytest
import torch

from fewer.core import Density, method, noise, parse_pattern, select
from fewer.weights.methods import SparseGPT, Wanda
from fewer.weights.seen import Hessian, InputNorm


def seen(kind, name="fc1", width=12):
    made = kind(name, width)
    made.update(noise((40, width), 7, "input") - 0.5)
    return made


WEIGHT = noise((6, 12), 0, "weight") - 0.5


@pytest.mark.parametrize(("of", "statistics"), [(Wanda, InputNorm), (SparseGPT, Hessian)])
def test_a_random_twin_is_the_same_method_with_scores_of_noise(of, statistics):
    original = of(seed=4)
    twin = original.random_twin()
    assert isinstance(twin, of) and twin.kind == "random" and twin.slug == f"random-{of.slug}"
    assert (twin.pattern, twin.statistics, twin.seed) == (original.pattern, original.statistics, 4)
    assert torch.equal(twin.score(WEIGHT, seen(statistics)), twin.score(WEIGHT * 2, seen(statistics)))
    assert not torch.equal(twin.score(WEIGHT, seen(statistics)), original.score(WEIGHT, seen(statistics)))


def test_a_twins_noise_is_fixed_by_its_seed_and_differs_between_seeds_and_layers():
    twin = Wanda().random_twin()
    scores = twin.score(WEIGHT, seen(InputNorm))
    assert torch.equal(scores, Wanda().random_twin().score(WEIGHT, seen(InputNorm)))
    assert not torch.equal(scores, twin.with_seed(1).score(WEIGHT, seen(InputNorm)))
    assert not torch.equal(scores, twin.score(WEIGHT, seen(InputNorm, name="fc2")))


def test_a_twin_applies_as_its_method_does():
    original = SparseGPT(block=4)
    twin = original.random_twin()
    H = seen(Hessian)
    for density in (0.5, 0.25):
        pruned = twin.prune(WEIGHT, H, Density(density))
        assert pruned.selection.kept == original.prune(WEIGHT, H, Density(density)).selection.kept
        assert bool((pruned.weight[~pruned.selection.mask] == 0).all())
        # The weights that stay were moved so as to lower the error, unlike a mask alone.
        assert H.error(pruned.weight - WEIGHT) < H.error(WEIGHT * pruned.selection.mask - WEIGHT)


def test_blocks_of_columns_do_not_share_their_noise():
    mask = SparseGPT(block=4).random_twin().prune(torch.ones(6, 12), seen(Hessian), Density(0.5)).selection.mask
    assert not torch.equal(mask[:, :4], mask[:, 4:8])


def test_a_twin_of_a_twin_is_the_twin():
    twin = Wanda().random_twin()
    assert twin.random_twin() == twin and type(twin.random_twin()) is type(twin)
    assert method("random:random:wanda") == method("random:wanda")


def test_the_command_lines_spelling_makes_the_twin():
    assert method("random:sparsegpt", damping=0.1) == SparseGPT(damping=0.1).random_twin()


def test_a_configuration_is_plain_and_tells_methods_apart_but_not_seeds():
    assert json.loads(json.dumps(SparseGPT().configuration())) == SparseGPT().configuration()
    assert SparseGPT().configuration() == SparseGPT(seed=9).configuration()
    assert (
        len({json.dumps(m.configuration()) for m in (SparseGPT(), SparseGPT(block=64), SparseGPT().random_twin(), Wanda())})
        == 4
    )


def test_noise_depends_on_seed_and_names_only():
    assert torch.equal(noise((3, 4), 5, "a"), noise((3, 4), 5, "a"))
    assert not torch.equal(noise((3, 4), 5, "a"), noise((3, 4), 5, "b"))
    torch.manual_seed(0)
    before = torch.rand(1)
    torch.manual_seed(0)
    noise((100,), 0)
    assert torch.equal(torch.rand(1), before)
    flat = noise((10_000,), 1)
    assert float(flat.min()) >= 0 and float(flat.max()) < 1 and abs(float(flat.mean()) - 0.5) < 0.02


def test_a_twins_selection_has_the_methods_pattern_and_size():
    for pattern in ("row", "2:4", "block:2x4"):
        wanda = Wanda(pattern=parse_pattern(pattern))
        ours, twins = (m.prune(WEIGHT, seen(InputNorm), Density(0.5)).selection for m in (wanda, wanda.random_twin()))
        assert ours.kept == twins.kept and ours.pattern == twins.pattern
        assert torch.equal(twins.mask, select(twins.mask.float(), pattern, Density(0.5)).mask)
