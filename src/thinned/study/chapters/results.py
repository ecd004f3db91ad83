"""What trials have left, a file each in a folder: nothing is trained twice."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from ...regular_file import read_regular
from ...replaced_file import replace_file
from ..error import StudyWarning, writing
from ..trial.config import Recipe
from .trial import Figures, Trial

FOLDER = "chapters"  # of a study's folder


class TrialFiles:
    """The finished trials of one study's chapters, or of one paper.

    Arguments:
        folder: where the files are. It is known to be of the same data.
        recipe: trials under another limit of steps are others.
        versions: of packages, where the folder is not known to be of these; trials under other ones are others.
    """

    def __init__(self, folder: Path, recipe: Recipe, versions: Mapping[str, str] | None = None) -> None:
        self._folder, self._recipe = folder, json.loads(json.dumps(asdict(recipe))) | dict(versions or {})

    def finished(self, trials: Iterable[Trial]) -> dict[Trial, Figures]:
        """The figures of those trials that are finished."""
        found = {trial: self.read(trial) for trial in trials}
        return {trial: figures for trial, figures in found.items() if figures is not None}

    def read(self, trial: Trial) -> Figures | None:
        """A trial's figures; None where it is not finished.

        Warns of a file that is damaged: its trial counts as not run.
        """
        path = self._path(trial)
        try:
            found = json.loads(read_regular(path))
            if found.pop("sha256") != _sum(found):
                raise ValueError("it is not as it was written")
            if found["recipe"] != self._recipe:
                return None
            figures = {str(name): [float(value) for value in values] for name, values in found["figures"].items()}
            if found["trial"] != _plain(trial):
                raise ValueError("it is of another trial")
            if any(len(values) != len(trial.seeds) for values in figures.values()):
                raise ValueError("it lacks figures")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(f"{path} is damaged ({reason}), so its trial is run again.", StudyWarning, stacklevel=2)
            return None
        return figures

    def add(self, trial: Trial, figures: Figures) -> None:
        """Write a finished trial.

        Raises StudyError: the folder can't be written to.
        """
        content = {"recipe": self._recipe, "trial": _plain(trial), "figures": figures}
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            whole = {**content, "sha256": _sum(content)}
            replace_file(self._path(trial), (json.dumps(whole) + "\n").encode())

    def _path(self, trial: Trial) -> Path:
        return self._folder / f"{trial.name}.json"


def _sum(content: object) -> str:
    """Of what a file holds: a figure of which a digit was changed is no figure."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _plain(trial: Trial) -> object:
    """A trial as JSON gives it back."""
    return json.loads(json.dumps(asdict(trial)))
