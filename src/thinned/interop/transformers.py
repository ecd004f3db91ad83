"""A callback of Hugging Face's Trainer that moves a model's p over the steps of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model.rates.schedule import Schedule
from ..schedules.curve import Curve

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "`thinned.interop.transformers` needs Transformers, which is not installed. "
        "Run pip install 'transformers[torch]'."
    ) from error


class ScheduleCallback(TrainerCallback):
    """Set p by curves over `state.global_step`, which counts the optimiser's steps.

    So batches that only accumulate gradients change nothing. The Trainer keeps `global_step` in its checkpoints, and p
    is a function of it: training that resumes goes on in the middle of the curves. Give it the same schedules then.

    Arguments: `schedules` and `example` as in `thinned.Schedule`. Names are those in the Trainer's model, and the
    example is what that is called with, a mapping of arguments for most.

    `schedule` is the `thinned.Schedule`, from the beginning of training on. p is in the logs of training, in
    `trainer.state.log_history`: for each pattern "p/" and the pattern, the mean of its places. Reporters that the
    Trainer made itself, such as TensorBoard's, run before this callback: to have p there too, put it first, by
    `trainer.callback_handler.callbacks.insert(0, callback)`. With `log=False` it is in no log.

    Raises: when training begins, as `thinned.Schedule`.

    >>> from thinned.schedules import LateDropout
    >>> callback = ScheduleCallback({"bert.encoder.*": LateDropout(0.1, steps=1000)})  # Trainer(callbacks=[callback])
    """

    def __init__(self, schedules: Mapping[str, Curve | float], *, example: Any = None, log: bool = True) -> None:
        self.schedules, self.example, self.log = schedules, example, log
        self.schedule: Schedule | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.schedule = Schedule(kwargs["model"], self.schedules, example=self.example)
        self.schedule.go_to(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.schedule is not None:
            self.schedule.go_to(state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs.get("logs")
        if self.log and self.schedule is not None and logs is not None and "loss" in logs:
            found = self.schedule.logs()
            logs.update(found)
            if state.log_history:
                state.log_history[-1].update(found)
