"""Sparse training with `transformers.Trainer`."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from fewer.core import Density, Method, Schedule
from fewer.errors import ResumeError
from fewer.weights.training.attach import attach
from fewer.weights.training.masked import MaskedTraining
from fewer.weights.training.tree_file import read_tree

FILE = "fewer.safetensors"
"""In every checkpoint, beside the states of model and optimiser that the Trainer saves."""


class SparsityCallback(TrainerCallback):
    """`fewer.attach` for a Trainer: attaches when training begins, for as many steps as it takes.

    The masks are saved into each checkpoint, and training that resumes from one resumes them too. The density is logged.

    Args:
        method, schedule, settings: as for `fewer.attach`; `steps` and `resume` come from the Trainer.
    """

    handle: MaskedTraining | None = None
    """Set when training begins; after it, what was held."""

    def __init__(
        self,
        method: str | Method | None = None,
        schedule: Schedule | Density | float | None = None,
        **settings: Any,
    ) -> None:
        self.method, self.schedule, self.settings = method, schedule, settings

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.handle is not None:
            self.handle.close()
        resume = _find(args, state) if state.global_step else None
        self.handle = attach(
            kwargs["model"],
            kwargs["optimizer"],
            self.method,
            self.schedule,
            steps=state.max_steps,
            resume=resume,
            **self.settings,
        )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.handle is not None and state.is_world_process_zero:
            self.handle.save(_folder(args, state) / FILE, whole=False)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.handle is not None:
            # The history took its copy of the entry before it called.
            kwargs["logs"]["density"] = state.log_history[-1]["density"] = self.handle.density

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.handle is None:
            return
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:  # its weights are loaded by now
            self.handle.load_state_dict(read_tree(Path(state.best_model_checkpoint) / FILE))
        self.handle.close()


def _folder(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir or ".") / f"checkpoint-{state.global_step}"


def _find(args: TrainingArguments, state: TrainerState) -> Path:
    """The masks' file of the checkpoint that training resumes from, which the Trainer does not name to its callbacks."""
    named = [Path(args.resume_from_checkpoint)] if isinstance(args.resume_from_checkpoint, str) else []
    places = [folder / FILE for folder in (*named, _folder(args, state))]
    for place in places:
        if place.is_file():
            return place
    raise ResumeError(
        f"training resumes at step {state.global_step}, and no masks are there: {' and '.join(map(str, places))} are missing. "
        "Resume from a checkpoint of output_dir, or name it in TrainingArguments(resume_from_checkpoint=...)."
    )
