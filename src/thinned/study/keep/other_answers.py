"""What the other models answered, one file a seed: a study that goes on fits none of them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ..trial.baseline import Answers, BaselineName
from .sealed import read_sealed, write_sealed

FOLDER = "others"


class OtherAnswers:
    """The answers on record in a study's folder.

    Arguments:
        folder: the study's folder, whose identity stands for data, seed and sizes.
        made: what else decides the answers: the study's id, the version of scikit-learn, and which trees are tried.
            Answers made otherwise count as not there.
    """

    def __init__(self, folder: Path, made: dict[str, str]) -> None:
        self._folder, self._made = folder / FOLDER, made

    def read(self, seed: int) -> list[Answers] | None:
        """One seed's answers; None where there are none, or a file is damaged, which is said."""
        found = read_sealed(self._path(seed), "these models are fitted again")
        if found is None:
            return None
        facts, arrays = found
        if facts["made"] != self._made | {"seed": str(seed)}:
            return None
        return [
            Answers(cast(BaselineName, name), arrays[f"{name}_val"], arrays[f"{name}_test"], **rest)
            for name, rest in facts["models"].items()
        ]

    def write(self, seed: int, answers: Sequence[Answers]) -> None:
        """Keep one seed's answers; the file is on the disk when this returns.

        Raises StudyError: the folder can't be written to.
        """
        sides = {one.name: {"val": one.val_output, "test": one.test_output} for one in answers}
        arrays = {f"{name}_{side}": array for name, two in sides.items() for side, array in two.items()}
        models = {one.name: {"settings": one.settings, "seconds": one.seconds} for one in answers}
        write_sealed(self._path(seed), {"made": self._made | {"seed": str(seed)}, "models": models}, arrays)

    def _path(self, seed: int) -> Path:
        return self._folder / f"seed-{seed}.npz"
