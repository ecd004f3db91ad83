"""What the other models answered, one file a seed: a study that goes on fits none of them again."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...replaced_file import replace_file
from ..error import StudyWarning, writing
from ..trial.baseline import Answers, BaselineName

FOLDER = "others"
SIDES = ("val", "test")


class OtherAnswers:
    """The answers on record in a study's folder.

    Arguments:
        folder: the study's folder, whose identity stands for data, seed and sizes.
        made: what else decides the answers: the study's id, and the version of scikit-learn. Answers made otherwise
            count as not there.
    """

    def __init__(self, folder: Path, made: dict[str, str]) -> None:
        self._folder, self._made = folder / FOLDER, made

    def read(self, seed: int) -> list[Answers] | None:
        """One seed's answers; None where there are none, or a file is damaged, which is said."""
        path = self._path(seed)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            facts = json.loads(arrays.pop("facts").tobytes())
            if facts.pop("digest") != _digest(facts, arrays):
                raise ValueError("its values are others than were written")
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever a changed byte can raise in zipfile, zlib, json and NumPy
            warnings.warn(
                f"{path} is damaged ({error or type(error).__name__}), so these models are fitted again.",
                StudyWarning,
                stacklevel=2,
            )
            return None
        if facts["made"] != self._made | {"seed": str(seed)}:
            return None
        return [
            Answers(cast(BaselineName, name), *(arrays[f"{name}_{side}"] for side in SIDES), **rest)
            for name, rest in facts["models"].items()
        ]

    def write(self, seed: int, answers: Sequence[Answers]) -> None:
        """Keep one seed's answers; the file is on the disk when this returns.

        Raises StudyError: the folder can't be written to.
        """
        sides = {one.name: (one.val_output, one.test_output) for one in answers}
        arrays = {
            f"{name}_{side}": array for name, two in sides.items() for side, array in zip(SIDES, two, strict=True)
        }
        models = {one.name: {"settings": one.settings, "seconds": one.seconds} for one in answers}
        facts: dict[str, Any] = {"made": self._made | {"seed": str(seed)}, "models": models}
        facts["digest"] = _digest(facts, arrays)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
        with writing(self._folder):
            self._folder.mkdir(exist_ok=True)
            replace_file(self._path(seed), content.getvalue())

    def _path(self, seed: int) -> Path:
        return self._folder / f"seed-{seed}.npz"


def _digest(facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    parts = [json.dumps(facts, sort_keys=True).encode()]
    for name in sorted(arrays):
        parts += [name.encode(), str((arrays[name].dtype, arrays[name].shape)).encode(), arrays[name].tobytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
