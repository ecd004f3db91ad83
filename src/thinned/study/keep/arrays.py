"""Arrays of finished runs as files beside the record of trials: one file a unit, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...replaced_file import replace_file
from ..trial.config import Unit
from ..trial.outcome import Measured, Outcome

FOLDER = "arrays"
SUFFIX = ".npz"
KINDS = ("curve", "val_output", "test_output")


class DamagedArraysError(Exception):
    """A file of arrays that is missing, cut short, changed, or of another unit. The message is the reason."""


@dataclass(frozen=True)
class RunArrays:
    """What is too large for the record of trials, of one run."""

    curve: tuple[Measured, ...]
    val_output: NDArray[np.float32]
    test_output: NDArray[np.float32]


def unit_name(unit: Unit) -> str:
    """A name fit for files: the unit's level, for readers, and a digest of every bit of the unit.

    >>> from ..trial.config import Level
    >>> unit_name(Unit(Level("dropout", 0.5), (0.001, 0.003), (0, 1)))
    'dropout-p0.5-wd0-ff992afd3479'
    """
    level = unit.level
    numbers = [level.p, level.weight_decay, level.p_input]
    exact = json.dumps([level.arm, *map(float, numbers), list(map(float, unit.lrs)), list(map(int, unit.seeds))])
    return f"{level.name}-{hashlib.sha256(exact.encode()).hexdigest()[:12]}"


def write_arrays(folder: Path, unit: Unit, outcomes: Sequence[Outcome]) -> str:
    """Write the arrays of a unit's runs, in the order of its configurations, and return the file's name.

    Each kind is one array of all runs' rows one below another, with the number of rows of each run. The name ends with
    a digest of all values: a unit that is trained again under another limit of steps gets a file of its own, so that
    the earlier trials keep theirs until the new ones are recorded. The file is on the disk when this returns, and not
    only in the system's memory.

    Raises: OSError where the folder can't be written to.
    """
    curves = [
        np.array([astuple(point) for point in outcome.curve], dtype=np.float64).reshape(-1, len(fields(Measured)))
        for outcome in outcomes
    ]
    kinds: dict[str, list[NDArray[Any]]] = {
        "curve": curves,
        "val_output": [np.asarray(outcome.val_output, dtype=np.float32) for outcome in outcomes],
        "test_output": [np.asarray(outcome.test_output, dtype=np.float32) for outcome in outcomes],
    }
    content = io.BytesIO()
    arrays: dict[str, NDArray[Any]] = {name: np.concatenate(runs) for name, runs in kinds.items()}
    rows = {f"{name}_rows": np.array([len(run) for run in runs]) for name, runs in kinds.items()}
    np.savez(content, allow_pickle=False, **arrays, **rows)
    name = f"{unit_name(unit)}-{_digest(arrays | rows)}"
    folder.mkdir(exist_ok=True)
    replace_file(folder / f"{name}{SUFFIX}", content.getvalue())
    return name


def read_arrays(folder: Path, name: str, runs: int) -> list[RunArrays]:
    """The arrays of the runs of one unit. `name` is that of `write_arrays`, `runs` how many there must be.

    Raises: DamagedArraysError.
    """
    path = folder / f"{Path(name).name}{SUFFIX}"
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            found = {key: archive[key] for kind in KINDS for key in (kind, f"{kind}_rows")}
        parts = [np.split(found[kind], np.cumsum(found[f"{kind}_rows"])[:-1]) for kind in KINDS]
    except FileNotFoundError:
        raise DamagedArraysError("is missing") from None
    except Exception as error:  # whatever a changed byte can raise in zipfile, zlib and NumPy
        raise DamagedArraysError(f"is damaged ({error or type(error).__name__})") from None
    if not name.endswith(_digest(found)):
        raise DamagedArraysError("is damaged (its values are others than were written)")
    if any(len(part) != runs for part in parts):
        raise DamagedArraysError(f"is of {len(parts[0])} runs, not {runs}")
    return [RunArrays(_curve(curve), val, test) for curve, val, test in zip(*parts, strict=True)]


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Of all values, the arrays before the numbers of rows."""
    order = [*KINDS, *(f"{kind}_rows" for kind in KINDS)]
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in order)).hexdigest()[:8]


def _curve(points: NDArray[np.float64]) -> tuple[Measured, ...]:
    return tuple(Measured(int(step), *rest) for step, *rest in points.tolist())
