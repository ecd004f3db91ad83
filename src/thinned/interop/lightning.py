"""A Lightning callback that moves a module's p over the steps of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..model.rates.schedule import Schedule
from ..schedules.curve import Curve

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
else:
    try:
        from lightning.pytorch import Callback
    except ModuleNotFoundError:
        try:
            from pytorch_lightning import Callback
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "`thinned.interop.lightning` needs Lightning, which is not installed. Run pip install lightning."
            ) from error


class ScheduleCallback(Callback):
    """Set p by curves over `trainer.global_step`, which counts the optimiser's steps.

    So batches that only accumulate gradients change nothing. (Several optimisers each count: with two, a step of both
    is two.) The state is in Lightning's checkpoints; a fit that resumes goes on in the middle of the curves.

    Arguments: `schedules` and `example` as in `thinned.Schedule`. Names are those in the LightningModule, "net.*". The
    example is what the LightningModule itself is called with.

    `schedule` is the `thinned.Schedule`, from the beginning of the fit on. p is in the logs: for each pattern "p/" and
    the pattern, the mean of its places, at the steps that the trainer logs. With `log=False` it is not.

    Raises: when the fit begins, as `thinned.Schedule`; and ValueError if a checkpoint is of other schedules.

    >>> from thinned.schedules import EarlyDropout
    >>> callback = ScheduleCallback({"net.*": EarlyDropout(0.1, steps=1000)})  # Trainer(callbacks=[callback])
    """

    def __init__(self, schedules: Mapping[str, Curve | float], *, example: Any = None, log: bool = True) -> None:
        super().__init__()
        self.schedules, self.example, self.log_p = schedules, example, log
        self.schedule: Schedule | None = None
        self._loaded: dict[str, Any] | None = None

    @property
    def state_key(self) -> str:
        """The patterns are in it, so that a trainer may have several."""
        return self._generate_state_key(schedules=sorted(self.schedules))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.schedule = Schedule(pl_module, self.schedules, example=self.example)
        if self._loaded is not None:
            self.schedule.load_state_dict(self._loaded)
            self._loaded = None
        self.schedule.go_to(trainer.global_step)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.log_p and self.schedule is not None:
            pl_module.log_dict(self.schedule.logs(), on_step=True, on_epoch=False, batch_size=1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.schedule is not None:
            self.schedule.go_to(trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.schedule is None else self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict or None
