import pytest

from fewer.attention.frontier.task import FrontierTask
from fewer.claims import load
from fewer.claims.claim import Setting
from fewer.claims.sparse_frontier import BUDGETS, SHOWN
from fewer.compare.result import ArmFacts, Results, Row
from fewer.data.trained.echo_lm import EchoRecipe

CLAIM = load("sparse-frontier")
SETTING = Setting(lambda: FrontierTask(recipe=EchoRecipe(), tasks=("echo", "plain"), length=256), BUDGETS)
RANDOM = {"random", "random-vertical-slash", "random-pages", "random-snapkv"}

# Nats above dense on (echo, plain), at every density unless a dict says otherwise.
AS_CLAIMED = {
    "vertical-slash": ({0.8: 0.0, 0.6: 0.0, 0.4: 0.05, 0.25: 0.2, 0.15: 0.3}, 0.04),
    "block": (0.4, 0.0),
    "quest": (0.02, 0.05),
    "snapkv": (0.9, 0.0),
    **dict.fromkeys(RANDOM, (1.5, 0.5)),
}


def made_up(**losses):
    """Every arm so much above dense, with a little noise by seed; what is always kept holds SnapKV's arms to 0.4 and more."""
    rows = []
    for number, name in enumerate(SHOWN):
        for budget in [1.0] if name == "dense" else BUDGETS:
            for seed in range(3):
                noise = 0.002 * ((7 * number + 3 * seed + round(100 * budget)) % 5 - 2)
                found = {}
                for place, task in enumerate(("echo", "plain")):
                    loss = (AS_CLAIMED | losses).get(name, (0.0, 0.0))[place]
                    found[f"nll:{task}"] = 1.0 + place + (loss[budget] if isinstance(loss, dict) else loss) + noise
                reached = max(budget, 0.4) if "snapkv" in name else budget
                rows.append(Row(name, budget, seed, found, {"density": reached}))
    kinds = {name: "dense" if name == "dense" else "random" if name in RANDOM else "method" for name in SHOWN}
    facts = {name: ArmFacts(kind, name) for name, kind in kinds.items()}
    return Results(
        "sparse-frontier", "s", "", {"nll:echo": "lower", "nll:plain": "lower"}, facts, list(BUDGETS), [0, 1, 2], rows
    )


@pytest.mark.parametrize(
    ("losses", "verdict", "said"),
    [
        ({}, "confirmed", "(d) every method beats its twin -> confirmed"),
        (
            {"vertical-slash": (0.0, 0.04)},
            "inconclusive",
            "(b) quest needs less than any of vertical-slash, block -> inconclusive",
        ),
        ({"random-snapkv": (0.8, 0.5)}, "inconclusive", "(d) every method beats its twin -> inconclusive"),
        ({"snapkv": (0.9, 0.2)}, "confirmed", "best in prefill at density 0.4: vertical-slash on echo, block on plain"),
        ({"block": (0.4, 0.3), "snapkv": (0.9, 0.3)}, "refuted", "no method is best everywhere -> refuted"),
        ({"random": (0.4, 0.0)}, "refuted", "block - random at best"),
        (dict.fromkeys(RANDOM, (-0.1, -0.1)), "inconclusive", "dense does not beat random either; not judged"),
    ],
)
def test_the_rule_tells_made_up_results_apart(losses, verdict, said):
    judged = CLAIM.rule(SETTING).judge(made_up(**losses))
    assert judged.verdict == verdict, judged.text
    assert said in judged.text


def test_arms_that_cannot_go_as_low_are_not_compared_there():
    text = CLAIM.rule(SETTING).judge(made_up()).text
    assert "snapkv - random-snapkv on echo at 0.4" in text
    assert "snapkv - random-snapkv on echo at 0.25" not in text
    assert "best in decode at density 0.25" not in text


def test_a_budget_that_leaves_nothing_to_choose_is_not_held_against_a_method():
    results = made_up()
    alike = {(r.seed, r.budget): r.quality for r in results.rows if r.arm == "random"}
    rows = [
        Row(r.arm, r.budget, r.seed, alike[r.seed, r.budget], r.cost) if (r.arm, r.budget) == ("block", 0.15) else r
        for r in results.rows
    ]
    judged = CLAIM.rule(SETTING).judge(Results(**{**vars(results), "rows": rows}))
    assert "echo at 0.15: what block always keeps leaves it nothing to choose" in judged.text
    assert "(d) every method beats its twin -> confirmed" in judged.text


def test_few_seeds_confirm_nothing():
    results = made_up()
    few = Results(**{**vars(results), "rows": [row for row in results.rows if row.seed < 2], "seeds": [0, 1]})
    assert CLAIM.rule(SETTING).judge(few).verdict == "inconclusive"


def test_all_scales_can_be_made_and_every_density_is_shown_beside_the_rule():
    assert {"smoke", "small", "paper"} == set(CLAIM.settings)
    for scale in CLAIM.settings:
        comparison = CLAIM.comparison(scale)
        assert {"dense", "random", "random-pages", CLAIM.method} <= set(comparison.arms)
        assert comparison.twins["random-pages"] == "quest"
        assert str(CLAIM.rule(CLAIM.setting(scale)))
    results = made_up()
    assert "snapkv: 1.90" in "\n".join(CLAIM.beside(results))
