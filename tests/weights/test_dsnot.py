import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import cnn, floats, llama, mlp, tokens

import fewer
from fewer.comparing import arms
from fewer.core import NM, Density, Rows, Selection, Slices, Unstructured, method, noise
from fewer.errors import MethodError, PatternError
from fewer.kernels.dispatch import cpu_path
from fewer.weights.methods import Dense, DSnoT, Magnitude, Random, Snip, SparseGPT, SparseGPTMask, Wanda
from fewer.weights.methods.dsnot import RandomSwaps
from fewer.weights.prune import prune
from fewer.weights.seen import Hessian, InputNorm, Moments

DEFAULT = DSnoT()
BASES = {"random": Random(), "magnitude": Magnitude(), "wanda": Wanda(), "sparsegpt-mask": SparseGPTMask()}


def seen_of(x, method=DEFAULT):
    seen = method.gathers("a", x.shape[1])
    seen.update(x)
    return seen


class Given(Moments):
    """Statistics as they are given, so that all arithmetic is exact."""

    def __init__(self, mean, variance, norm, products):
        super().__init__("a", len(mean))
        self.tokens, self.mean, self.squares = 1, mean.double(), norm.square().double()
        self._deviations, self.products = variance.double(), products


def by_hand(weight, kept, seen, method):
    """One row of the card's pseudo-code, in plain numbers."""
    w, kept, first = weight.tolist(), kept.tolist(), kept.tolist()
    mean, variance, norm = seen.mean.tolist(), seen.variance.tolist(), seen.norm.tolist()
    C = [w[k] * mean[k] for k in range(len(w))]
    gap = sum(C[k] for k in range(len(w)) if not kept[k])
    start, used = gap, set()

    def error():
        lost = [0 if kept[k] else w[k] for k in range(len(w))]
        P = seen.products.tolist()
        return sum(lost[a] * lost[b] * P[a][b] for a in range(len(w)) for b in range(len(w)))

    for _ in range(method.cycles):
        if abs(gap) <= method.delta:
            break
        back = [k for k in range(len(w)) if not first[k] and k not in used and variance[k] > 0 and C[k] * gap > 0]
        if not back:
            break
        g = max(back, key=lambda k: (abs(C[k]) / variance[k] ** method.power, -k))
        if method.group:
            gone = [k for k in range(len(w)) if first[k] and k not in used and k // method.group == g // method.group]
            gone.sort(key=lambda k: (abs(w[k]), k))  # magnitude is the base in these tests
        else:
            gone = [k for k in range(len(w)) if first[k] and k not in used and C[k] * gap < 0]
            gone.sort(key=lambda k: (abs(w[k]) * norm[k], k))
        if not gone:
            break
        j, was = gone[0], error()
        after = gap + C[j] - C[g]
        if method.same_sign and not after * start > 0:
            break
        kept[g], kept[j] = True, False
        if method.guard and error() > was:
            kept[g], kept[j] = False, True
            break
        gap = after
        used |= {g, j}
    return torch.tensor(kept)


@st.composite
def exact_problems(draw):
    rows, width = draw(st.integers(1, 4)), 4 * draw(st.integers(1, 4))
    seed, pick = (
        draw(st.integers(0, 10**6)),
        lambda options, *shape: torch.tensor(options)[torch.randint(len(options), shape, generator=generator)],
    )
    generator = torch.Generator().manual_seed(seed)
    x = pick([-2.0, -1.0, 0.0, 1.0], 6, width)
    seen = Given(
        pick([-2.0, -0.5, 0.0, 0.25, 1.0], width), pick([0.0, 0.5, 1.0, 4.0], width), pick([1.0, 2.0, 4.0], width), x.t() @ x
    )
    weight = pick([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0], rows, width)
    chosen = DSnoT(
        base=Magnitude(),
        pattern=draw(st.sampled_from([Rows(), NM(2, 4), NM(1, 4), NM(1, 2)])),
        cycles=draw(st.sampled_from([0, 1, 2, 50])),
        delta=draw(st.sampled_from([0.0, 0.5, 2.0])),
        power=draw(st.sampled_from([0.0, 1.0, 2.0])),
        same_sign=draw(st.booleans()),
        guard=draw(st.booleans()),
    )
    density = chosen.pattern.density or draw(st.sampled_from([0.0, 0.25, 0.5, 0.8, 1.0]))
    return weight, seen, chosen, Density(density)


@pytest.mark.parametrize("path", ["reference", "portable"])
def test_masks_are_those_of_a_plain_loop_over_rows(path, monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", path)
    cpu_path.cache_clear()

    @settings(deadline=None, max_examples=150)
    @given(exact_problems())
    def same(problem):
        weight, seen, chosen, density = problem
        first = Magnitude(pattern=chosen.pattern).prune(weight, seen, density).selection.mask
        mask = chosen.refine(Selection(first), weight, seen).mask
        expected = torch.stack([by_hand(weight[r], first[r], seen, chosen) for r in range(len(weight))])
        assert torch.equal(mask, expected)
        units = chosen.pattern.units
        assert torch.equal(units(mask).sum(1), units(first).sum(1))

    try:
        same()
    finally:
        cpu_path.cache_clear()


ROW = torch.tensor([[4.0, -3.0, 2.0, 1.0, 1.0, -1.0]])
EVEN = torch.tensor([[0.0] * 6, [2.0] * 6])
"""Every input has mean 1 and variance 1, so that C = W. Kept at first: 4, -3, 2; the gap is 1 + 1 - 1 = 1."""


def test_one_row_by_hand():
    # Gap 1: back comes 1 (the first of two), out goes -3 (the only one below zero); gap 1 - 3 - 1 = -3.
    # Gap -3: back comes -1 (-3 went out itself), out goes 2 (4 is larger); gap -3 + 2 + 1 = 0: done.
    refined = DSnoT(same_sign=False, delta=0).prune(ROW, seen_of(EVEN), Density(0.5))
    assert refined.selection.mask.int().tolist() == [[1, 0, 0, 1, 0, 1]]
    assert refined.weight.tolist() == [[4, 0, 0, 1, 0, -1]]
    assert refined.report["mean_error_before"] == 1 and refined.report["mean_error"] == 0
    assert refined.report["swapped"] == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    "stopping", [{"same_sign": True}, {"delta": 1.0}, {"cycles": 0}, {"exclude": ("a",)}, {"include": ("b",)}]
)
def test_a_row_stops_before_it_turns_its_sign_within_delta_and_where_it_is_told_to(stopping):
    refined = DSnoT(**{"same_sign": False, **stopping}).prune(ROW, seen_of(EVEN), Density(0.5))
    assert refined.selection.mask.int().tolist() == [[1, 1, 1, 0, 0, 0]]


def test_the_variance_decides_what_comes_back_unless_its_power_is_zero():
    # Dropped are 1 and 0.9 with the same mean; the first varies twice as much.
    weight = torch.tensor([[3.0, -2.0, 1.0, 0.9]])
    x = torch.tensor([[1.0, 1.0, 3.0, 2.0], [1.0, 1.0, -1.0, 0.0]]) + torch.tensor([[1, 1, 0, 0], [-1, -1, 0, 0]])
    came = {p: DSnoT(power=p, same_sign=False).prune(weight, seen_of(x), Density(0.5)).selection.mask for p in (0.0, 1.0)}
    assert came[0.0][0, 2] and not came[0.0][0, 3]
    assert came[1.0][0, 3] and not came[1.0][0, 2]


def test_n_of_m_drops_within_the_group_what_the_base_scores_lowest():
    # The gap is 2 + 0.5 + 1 = 3.5; 2 comes back and 3 goes out, whose sign would be the wrong one outside N:M: gap 4.5.
    weight = torch.tensor([[5.0, 3.0, 2.0, 0.5, 9.0, -8.0, 1.0, 0.0]])
    x = torch.cat([torch.zeros(1, 8), torch.full((1, 8), 2.0)])
    refined = DSnoT(pattern=NM(2, 4), cycles=1).prune(weight, seen_of(x), Density(0.5))
    assert refined.selection.mask.int().tolist() == [[1, 0, 1, 0, 1, 1, 0, 0]]


def test_inputs_that_never_vary_do_not_come_back():
    x = noise((40, 12), 0)
    x[:, ::3] = 0
    x[:, 1::3] = 2.0
    weight = noise((5, 12), 0, "w") - 0.5
    first = Random().prune(weight, seen_of(x), Density(0.5)).selection.mask
    last = DSnoT(base=Random()).prune(weight, seen_of(x), Density(0.5)).selection.mask
    came = (last & ~first).any(0)
    assert bool(came.any()) and set(came.nonzero().flatten().tolist()) <= {2, 5, 8, 11}


def test_the_guard_never_lets_the_squared_error_of_a_row_rise():
    x = noise((200, 40), 0, "x") + 0.3 * torch.randn(40, generator=torch.Generator().manual_seed(1))
    weight, seen = noise((30, 40), 0, "w") - 0.5, seen_of(x)

    def errors(mask):
        return (x @ (weight * ~mask).t()).square().mean(0)

    first = Wanda().prune(weight, seen, Density(0.4)).selection.mask
    free, guarded = (
        DSnoT(same_sign=False, guard=guard).prune(weight, seen, Density(0.4)).selection.mask for guard in (False, True)
    )
    assert bool((errors(guarded) <= errors(first) * (1 + 1e-4)).all())
    assert bool((errors(free) > errors(first)).any()) and not torch.equal(guarded, first)


@pytest.mark.parametrize("drop", [Magnitude(), Random()])
def test_any_methods_score_says_what_is_dropped_first(drop):
    weight, x = noise((20, 30), 0, "w") - 0.5, noise((50, 30), 0, "x") * torch.linspace(0.1, 5, 30)
    masks = [DSnoT(drop=d).prune(weight, seen_of(x), Density(0.5)).selection.mask for d in (None, drop, Wanda())]
    assert torch.equal(masks[0], masks[2]) and not torch.equal(masks[0], masks[1])


def test_the_report_is_what_plain_products_give():
    x, weight = noise((300, 24), 0, "x") - 0.2, noise((10, 24), 0, "w") - 0.5
    first = Wanda().prune(weight, seen_of(x), Density(0.5)).selection.mask
    last = DSnoT().prune(weight, seen_of(x), Density(0.5))
    for mask, suffix in ((first, "_before"), (last.selection.mask, "")):
        error = x @ (weight * ~mask).t()
        assert last.report[f"mean_error{suffix}"] == pytest.approx(float(error.mean(0).abs().mean()), rel=1e-4, abs=1e-6)
        assert last.report[f"squared_error{suffix}"] == pytest.approx(float(error.square().mean()), rel=1e-4)
    assert last.report["mean_error"] < last.report["mean_error_before"]
    bare = DSnoT(squared_error=False)
    assert "squared_error" not in bare.prune(weight, seen_of(x, bare), Density(0.5)).report


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("pattern", ["row", "2:4", "layer"])
@pytest.mark.parametrize("mode", ["layer", "block"])
def test_every_base_is_refined_in_one_walk_with_the_counts_that_it_gave(base, pattern, mode):
    data = {"calibration": tokens(), "pattern": pattern, "mode": mode, "density": 0.5, "include": "model.layers.0.*.q_proj"}
    first = prune(llama(), BASES[base], **data).fewer.selections
    refined = prune(llama(), DSnoT(base=BASES[base]), **data).fewer
    for name, selection in refined.selections.items():
        assert torch.equal(selection.mask.sum(1), first[name].mask.sum(1))
        if pattern == "2:4":
            assert bool((selection.mask.unflatten(1, (-1, 4)).sum(-1) == 2).all())
    assert refined.selections.overlap(first) < 1
    if pattern != "2:4":  # there what goes out may have the wrong sign
        assert refined.report["mean_error"] < refined.report["mean_error_before"]
    unrefined = prune(llama(), DSnoT(base=BASES[base], cycles=0), **data).fewer
    assert unrefined.selections.overlap(first) == 1


def test_the_seed_of_dsnot_is_that_of_its_base():
    for seed in (0, 5):
        unmoved = fewer.prune(mlp(), DSnoT(base=Random(), cycles=0), calibration=floats(4, 12), seed=seed).fewer.selections
        assert unmoved.overlap(fewer.prune(mlp(), "random", seed=seed).fewer.selections) == 1
    assert DSnoT(base=Random()).seeded and not DSnoT().seeded and DSnoT().random_twin().seeded


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("pattern", [Rows(), NM(2, 4), Unstructured("layer")])
def test_the_random_twin_starts_from_the_same_mask_and_makes_as_many_swaps_in_each_row(base, pattern):
    weight, x = noise((30, 48), 0, "w") - 0.5, noise((90, 48), 0, "x") - 0.2
    refining = DSnoT(base=BASES[base], pattern=pattern, seed=3)
    twin = refining.random_twin()
    assert isinstance(twin, RandomSwaps) and twin.kind == "random" and twin.random_twin() == twin
    first = DSnoT(base=BASES[base], pattern=pattern, cycles=0, seed=3).prune(weight, seen_of(x), Density(0.5)).selection.mask
    ours = refining.prune(weight, seen_of(x), Density(0.5)).selection.mask
    chance = twin.prune(weight, seen_of(x), Density(0.5)).selection.mask
    units = NM(1, 4).units if isinstance(pattern, NM) else lambda mask: mask
    for moved in (lambda mask: mask & ~first, lambda mask: first & ~mask):
        assert torch.equal(units(moved(chance)).sum(1), units(moved(ours)).sum(1))
    assert not torch.equal(chance, ours) and not torch.equal(chance, first)
    assert torch.equal(twin.prune(weight, seen_of(x), Density(0.5)).selection.mask, chance)
    other = twin.with_seed(4).prune(weight, seen_of(x), Density(0.5)).selection.mask
    assert not torch.equal(other, chance)


def test_a_convolution_is_refined_like_any_matrix():
    pruned = fewer.prune(cnn(), "dsnot:magnitude", calibration=floats(2, 3, 8, 8))
    kept = fewer.prune(cnn(), "magnitude").fewer.selections
    assert all(math.isfinite(value) for layer in pruned.fewer.layers for value in layer.report.values())
    assert pruned.fewer.selections.kept == kept.kept and pruned.fewer.selections.overlap(kept) < 1


def test_names_say_what_it_is_built_on():
    assert method("dsnot") == DSnoT() == method("dsnot:wanda")
    assert method("dsnot:sparsegpt-mask") == DSnoT(base=SparseGPTMask())
    assert method("random:dsnot:magnitude") == DSnoT(base=Magnitude()).random_twin()
    assert (DSnoT().spelling, DSnoT(base=Magnitude()).spelling) == ("dsnot", "dsnot:magnitude")
    compared = arms(["wanda", "dsnot", DSnoT(base=Magnitude())], "2:4")
    assert list(compared) == ["dense", "random", "wanda", "dsnot", "random:dsnot", "dsnot:magnitude", "random:dsnot:magnitude"]
    assert compared["dsnot:magnitude"].pattern == NM(2, 4)


def test_it_gathers_what_it_and_its_base_need_and_nothing_twice():
    assert issubclass(DSnoT().gathers, Moments) and issubclass(DSnoT().gathers, Hessian)
    assert DSnoT(squared_error=False).gathers is Moments  # Wanda's norm is part of it
    assert DSnoT(base=SparseGPTMask(), squared_error=False).gathers is DSnoT().gathers
    assert issubclass(DSnoT(base=Magnitude(), drop=SparseGPTMask(), squared_error=False).gathers, Hessian)
    assert Wanda().gathers is InputNorm and SparseGPT().gathers is Hessian


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"cycles": -1}, MethodError, "cycles of dsnot must be at least 0, not -1"),
        ({"delta": math.nan}, MethodError, "delta of dsnot must be at least 0, not nan"),
        ({"power": -0.5}, MethodError, "power of dsnot"),
        ({"base": Snip()}, MethodError, "snip has none. Allowed: random, magnitude"),
        ({"base": Dense()}, MethodError, "dense has none"),
        ({"base": "wanda"}, MethodError, "'wanda' has none"),
        ({"drop": Snip()}, MethodError, "snip has none"),
        ({"base": Magnitude(pattern=NM(2, 4))}, PatternError, "2:4 of its own. Give it to dsnot"),
        ({"pattern": Slices(0)}, PatternError, "dsnot swaps single weights; neuron has none. Allowed: row, layer, global, N:M"),
        ({"pattern": NM(2, 4, axis=0)}, PatternError, "dsnot swaps single weights"),
    ],
)
def test_what_cannot_be_refined_is_refused_before_anything_is_done(wrong, error, said):
    with pytest.raises(error, match=said):
        DSnoT(**wrong)


def test_a_base_for_a_method_that_has_none_is_refused():
    with pytest.raises(MethodError, match='wanda is built on no other method, so that "wanda:magnitude" means nothing'):
        method("wanda:magnitude")
    with pytest.raises(MethodError, match=r'"magnitud" is unknown \(did you mean "magnitude"'):
        method("dsnot:magnitud")
