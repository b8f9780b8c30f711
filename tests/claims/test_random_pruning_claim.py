import dataclasses

import pytest

from fewer.claims import load
from fewer.claims.claim import Setting, reproduce
from fewer.claims.random_pruning import arms, name_of, sizes_of
from fewer.weights.networks import CifarResNet
from fewer.weights.training.problem import Recipe

CLAIM = load("random-pruning")


def test_dense_random_and_the_method_have_plain_names_at_the_largest_size():
    found = arms((8, 16), torch_at=8)
    assert {"dense", "random", "erk", "snip", "small-dense"} <= set(found)
    assert found["erk"].width == 16
    assert found["erk@8"].width == found["erk+torch@8"].width == 8
    assert found["erk+torch@8"].trainer.initial == "torch"
    assert sizes_of(found) == (8, 16)
    assert name_of("erk", 8, (8, 16)) == "erk@8"


def test_the_rule_is_that_of_the_card():
    text = str(CLAIM.rule(CLAIM.setting("small")))
    assert "accuracy of dense@128 is below that of erk@128, within 0.03" in text
    assert "accuracy of dense is below that of erk, within 0.02" in text
    assert "dense@16 and erk@16 to dense and erk" in text


def test_a_run_of_seconds_gives_every_row_and_what_the_rule_does_not_judge():
    def tiny():
        task = CLAIM.setting("small").task()
        return dataclasses.replace(task, recipe=Recipe(epochs=1))

    setting = Setting(tiny, budgets=(0.3,), arms=arms((4, 8), torch_at=4), seeds=1)
    done = reproduce(dataclasses.replace(CLAIM, settings={"tiny": setting}), "tiny").to_dict()
    assert {row["arm"] for row in done["rows"]} == set(setting.arms)
    assert done["effect"].keys() == {"vs_dense", "vs_random"}
    beside = "\n".join(done["why"])
    for said in ("SNIP's own positions - erk", "small dense network", "SNIP's mask shuffled", "with torch's initial weights"):
        assert said in beside


@pytest.mark.parametrize(("scale", "sizes"), [("paper", (8, 16, 24)), ("paper-depth", (20, 32, 44, 56, 110))])
def test_the_papers_scale_is_its_recipe_on_cifar_10(scale, sizes):
    setting = CLAIM.setting(scale)
    task = setting.task()
    assert (task.images, task.augment) == ("cifar10", True)
    assert task.recipe == Recipe(epochs=160, rate=0.1, falls=(0.5, 0.75), momentum=0.9, weight_decay=5e-4, batch=128)
    assert sizes_of(setting.arms) == sizes
    assert len(list(CLAIM.comparison(scale).cells())) > 100
    assert isinstance(task.network.build(sizes[0], (3, 32, 32), 10), type(CifarResNet().build(8, (3, 32, 32), 10)))
