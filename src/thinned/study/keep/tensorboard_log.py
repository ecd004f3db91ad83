"""Runs for TensorBoard: a folder each, written whole."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Collection
from pathlib import Path

from ..trial.outcome import Outcome
from .run_log import curve_of, figures_of, run_name, settings_of

TENSORBOARD = "tensorboard"


class TensorBoardLog:
    """Scalars by step, and the settings for the table of HParams.

    Arguments:
        study: the study's id. A study begun anew in the same folder has another, and runs of its own.
    """

    title = "TensorBoard"

    def __init__(self, folder: Path, study: str) -> None:
        self._folder = folder / TENSORBOARD / study
        self.link = f"{TENSORBOARD}/{study}/"
        self.where = f"tensorboard --logdir {shlex.quote(str(self._folder))}"

    def names(self) -> Collection[str]:
        if not self._folder.is_dir():
            return ()
        return [path.name for path in self._folder.iterdir() if not path.name.startswith(".")]

    def write(self, outcome: Outcome) -> None:
        from torch.utils.tensorboard.summary import hparams
        from torch.utils.tensorboard.writer import SummaryWriter  # late: an extra

        name, final = run_name(outcome), figures_of(outcome)
        begun = self._folder / f".{name}"
        shutil.rmtree(begun, ignore_errors=True)  # of a call that was ended
        with SummaryWriter(str(begun)) as writer:
            for point in outcome.curve:
                for tag, value in curve_of(point).items():
                    writer.add_scalar(tag, value, point.step)
            for tag, value in final.items():
                writer.add_scalar(tag, value, outcome.steps)
            for summary in hparams(settings_of(outcome.config), final):
                writer.file_writer.add_summary(summary)
        begun.rename(self._folder / name)
