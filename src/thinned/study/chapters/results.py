"""What trials of chapters have left, a file each in the study's folder: nothing is trained twice."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path

from ...replaced_file import replace_file
from ..error import StudyError, StudyWarning
from ..trial.config import Recipe
from .trial import Figures, Trial

FOLDER = "chapters"


class TrialFiles:
    """The finished trials of one study's chapters.

    Arguments:
        folder: the study's, which is known to be of these data and versions.
        recipe: trials under another limit of steps are others.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self._folder, self._recipe = folder / FOLDER, json.loads(json.dumps(asdict(recipe)))

    def read(self, trial: Trial) -> Figures | None:
        """A trial's figures; None where it is not finished.

        Warns of a file that is damaged: its trial counts as not run.
        """
        path = self._path(trial)
        try:
            found = json.loads(path.read_bytes())
            if found["recipe"] != self._recipe:
                return None
            figures = {str(name): [float(value) for value in values] for name, values in found["figures"].items()}
            if found["trial"] != _plain(trial):
                raise ValueError("it is of another trial")
            if any(len(values) != len(trial.seeds) for values in figures.values()):
                raise ValueError("it lacks figures")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            warnings.warn(f"{path} is damaged ({reason}), so its trial is run again.", StudyWarning, stacklevel=2)
            return None
        return figures

    def add(self, trial: Trial, figures: Figures) -> None:
        """Write a finished trial.

        Raises StudyError: the folder can't be written to.
        """
        content = {"recipe": self._recipe, "trial": _plain(trial), "figures": figures}
        try:
            self._folder.mkdir(exist_ok=True)
            replace_file(self._path(trial), (json.dumps(content) + "\n").encode())
        except OSError as error:
            raise StudyError(
                f"{self._folder}: cannot be written to: {error.strerror}. Nothing that was recorded before is lost. "
                "Mend this and give the same command again."
            ) from error

    def _path(self, trial: Trial) -> Path:
        return self._folder / f"{trial.name}.json"


def _plain(trial: Trial) -> object:
    """A trial as JSON gives it back."""
    return json.loads(json.dumps(asdict(trial)))
