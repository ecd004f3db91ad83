"""The weights of the networks to take away, a file a run: a study that is called again trains none of them again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ..error import writing
from ..trial.config import Config
from ..trial.outcome import Outcome, Weights
from .sealed import read_sealed, write_sealed

FOLDER = "weights"
SUFFIX = ".npz"


class RecordedWeights:
    """The weights on record in a study's folder, of the runs whose networks the last answer took or showed.

    A run's weights are found by its settings and by its answers to validation and test rows, to the bit. Those of a run
    that was trained otherwise meanwhile are not found.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._sound: set[Path] = set()  # the files that have been read whole

    def read(self, outcome: Outcome) -> Weights | None:
        """A run's weights; None where there are none, or the file is damaged, which is said."""
        path = self._path(outcome)
        found = read_sealed(path, "this network is trained again")
        if found is None:
            return None
        self._sound.add(path)
        return found[1]

    def keep(self, finished: Mapping[Config, Outcome], weights: Mapping[Config, Weights]) -> None:
        """Write these runs' weights, unless they were read here, and remove all others.

        Raises StudyError: the folder can't be written to.
        """
        paths = {self._path(finished[config]): found for config, found in weights.items()}
        for path in paths.keys() - self._sound:
            write_sealed(path, {}, paths[path])
        with writing(self._folder):
            for path in set(self._folder.glob(f"*{SUFFIX}")) - paths.keys():
                path.unlink()

    def _path(self, outcome: Outcome) -> Path:
        exact = hashlib.sha256(repr(outcome.config).encode())
        for answers in (outcome.val_output, outcome.test_output):
            exact.update(answers.tobytes())
        return self._folder / f"{outcome.config.name}-{exact.hexdigest()[:12]}{SUFFIX}"
