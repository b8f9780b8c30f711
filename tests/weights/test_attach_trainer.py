"""Real runs of transformers.Trainer on a tiny language model."""

import shutil

import pytest
import torch
from small_models import llama, tokens
from transformers import Trainer, TrainingArguments

import fewer
from fewer.errors import ResumeError, ScheduleError
from fewer.weights.training.methods import RigL
from fewer.weights.training.moment import packed
from fewer.weights.training.tree_file import read_tree
from fewer.weights.training.updates import Updates

RIGL = RigL(updates=Updates(0.5, every=2, until=1.0))
DATA = [{"input_ids": row, "labels": row} for row in tokens(32)]


def trainer(folder, callback, seed=0, **changes):
    settings = {"max_steps": 8, "save_steps": 4, "logging_steps": 2, "learning_rate": 0.01, "per_device_train_batch_size": 4}
    quiet = {"report_to": [], "disable_tqdm": True, "use_cpu": True, "seed": 0}
    model = llama()
    if seed:
        torch.manual_seed(seed)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
    return Trainer(
        model=model.train(),
        args=TrainingArguments(str(folder), **{**settings, **quiet, **changes}),
        train_dataset=DATA,
        eval_dataset=DATA[:4],
        callbacks=[callback],
    )


def run(folder, seed=0, resume=None, callback=None, **changes):
    callback = callback or fewer.SparsityCallback(RIGL, density=0.25)
    training = trainer(folder, callback, seed, **changes)
    training.train(resume_from_checkpoint=resume)
    return training, callback.handle


def test_a_trainer_trains_under_masks_and_logs_their_density(tmp_path):
    training, handle = run(tmp_path)
    assert handle.done == 8
    assert handle.density == pytest.approx(0.25, abs=1e-3)
    assert len(handle.record.churns) == 3  # steps 2, 4, 6
    for name, mask in handle.masks.items():
        assert not training.model.get_submodule(name).weight[~mask].any()
    assert [entry["density"] for entry in training.state.log_history if "loss" in entry] == [handle.density] * 4
    assert training.model.fewer.selections.overlap(handle.selections) == 1


@pytest.mark.parametrize("changes", [{}, {"gradient_accumulation_steps": 2, "optim": "sgd"}], ids=["adamw", "accumulated-sgd"])
def test_resuming_from_a_checkpoint_is_bit_equal(changes, tmp_path):
    straight, handle = run(tmp_path, **changes)
    shutil.rmtree(tmp_path / "checkpoint-8")
    resumed, again = run(tmp_path, seed=9, resume=True, **changes)
    assert again.done == 8
    assert all(torch.equal(mask, again.masks[name]) for name, mask in handle.masks.items())
    assert all(torch.equal(a, b) for a, b in zip(straight.model.parameters(), resumed.model.parameters(), strict=True))
    assert handle.record.churns == again.record.churns


def test_a_checkpoint_that_was_moved_is_named_in_the_arguments(tmp_path):
    _, handle = run(tmp_path / "a")
    moved = shutil.move(tmp_path / "a" / "checkpoint-4", tmp_path / "moved")
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(ResumeError, match=r"resumes at step 4.*resume_from_checkpoint"):
        run(tmp_path / "a", resume=str(moved))
    _, again = run(tmp_path / "a", resume=str(moved), resume_from_checkpoint=str(moved))
    assert again.selections.overlap(handle.selections) == 1


def test_resuming_with_another_configuration_is_refused(tmp_path):
    run(tmp_path, max_steps=4)
    with pytest.raises(ResumeError, match="its steps is 4, and here it is 8"):
        run(tmp_path, resume=True)
    with pytest.raises(ResumeError, match="its schedule is"):
        run(tmp_path, resume=True, max_steps=4, callback=fewer.SparsityCallback(RIGL, density=0.5))


def test_the_best_model_comes_with_its_masks(tmp_path):
    callback = fewer.SparsityCallback(RIGL, density=0.25)
    training = trainer(tmp_path, callback, eval_strategy="steps", eval_steps=4, load_best_model_at_end=True)
    evaluate, losses = training.evaluate, iter([1.0, 2.0])
    training.evaluate = lambda *given, **named: evaluate(*given, **named) | {"eval_loss": next(losses)}
    training.train()
    assert training.state.best_model_checkpoint.endswith("checkpoint-4")
    assert callback.handle.done == 4
    for name, mask in callback.handle.masks.items():
        assert not training.model.get_submodule(name).weight[~mask].any()
    last = read_tree(tmp_path / "checkpoint-8" / "fewer.safetensors")["masks"]
    assert any(not torch.equal(last[name], bits) for name, bits in packed(callback.handle.masks).items())


def test_a_pruned_model_is_tuned_under_its_masks(tmp_path):
    callback = fewer.SparsityCallback()
    training = trainer(tmp_path, callback, save_strategy="no")
    fewer.prune(training.model, "magnitude", density=0.3)
    kept = training.model.fewer.selections
    training.train()
    assert callback.handle.selections.overlap(kept) == 1
    assert not any(training.model.get_submodule(n).weight[~s.mask].any() for n, s in kept.items())


def test_too_few_steps_for_the_rhythm_are_refused(tmp_path):
    with pytest.raises(ScheduleError, match="within 8 steps"):
        run(tmp_path, callback=fewer.SparsityCallback("rigl", density=0.25))
