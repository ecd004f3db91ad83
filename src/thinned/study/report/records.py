"""A study folder's records, read and checked: the only place in the report that touches its files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from thinned.study.record import SCHEMA, LevelResult, Point, RangePoint, Run, Study

TABLES: dict[str, type[Run] | type[Point] | type[RangePoint]] = {
    "runs.csv": Run,
    "curves.csv": Point,
    "range.csv": RangePoint,
}
MEASURED = ("_error", "_nll", "_tempered", "_loss", "loss")


@dataclass(frozen=True)
class Activations:
    """The first hidden layer's outputs for the same test rows, each array rows x units."""

    plain: NDArray[np.float32]  # the network trained at p = 0
    whole: NDArray[np.float32]  # the best network trained with dropout, at inference
    thinned: NDArray[np.float32]  # the same network in training mode, after its dropout
    mask: NDArray[np.bool_]
    p: float


@dataclass(frozen=True)
class Records:
    """Everything a report is made from."""

    study: Study
    runs: pd.DataFrame  # columns: `Run`'s fields
    curves: pd.DataFrame  # columns: `Point`'s fields
    range_test: pd.DataFrame  # columns: `RangePoint`'s fields
    activations: Activations | None

    def arm(self, name: str) -> LevelResult | None:
        """The level of an arm that has only one."""
        return next((level for level in self.study.levels if level.arm == name), None)

    def runs_of(self, level: LevelResult) -> pd.DataFrame:
        """The runs behind a level, at the learning rate that validation chose for it."""
        rows = self.runs
        same = rows["arm"] == level.arm
        for name in ("p", "p_input", "weight_decay"):
            same &= rows[name] == getattr(level, name)
        return rows[same & rows["chosen_lr"].astype(bool)]


def read(folder: Path) -> Records:
    """Read a folder's `study.json`, `runs.csv`, `curves.csv`, `range.csv`, and its `activations.npz` where it has one.

    A measurement that is not a number becomes infinite: the run diverged, and no mean may leave it out.

    Raises FileNotFoundError where a record is missing and ValueError where one breaks the contract of its model.
    """
    study = _study(folder)
    for name in TABLES:
        _there(folder, name)
    runs, curves, range_test = (_table(folder / name, row) for name, row in TABLES.items())
    return Records(study, runs, curves, range_test, _activations(folder))


def _there(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise FileNotFoundError(
            f"`report.write`: `folder` must hold a study's records. There is no {name} in {folder}. "
            "Run `thinned study` first, or pass the folder it wrote."
        )


def _study(folder: Path) -> Study:
    _there(folder, "study.json")
    path = folder / "study.json"
    text = path.read_text(encoding="utf-8")
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"`report.write`: {path} must be JSON. {error}. Run the study again.") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA:
        raise ValueError(
            f"`report.write`: {path} must have schema version {SCHEMA}. Got {version}. "
            "Use the version of thinned that wrote it, or run the study again in a new folder."
        )
    try:
        return Study.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"`report.write`: {_broken(str(path), error)}") from error


def _table(path: Path, row: type[Run] | type[Point] | type[RangePoint]) -> pd.DataFrame:
    raw = pd.read_csv(path, dtype={"run": str})
    rows = []
    for line, values in enumerate(raw.to_dict("records"), start=2):  # line 1 is the header
        try:
            rows.append(row.model_validate(values))
        except ValidationError as error:
            raise ValueError(f"`report.write`: {_broken(f'{path}, line {line},', error)}") from error
    frame = pd.DataFrame([item.model_dump() for item in rows], columns=list(row.model_fields))
    measured = [name for name in frame.columns if name.endswith(MEASURED)]
    return frame.fillna(dict.fromkeys(measured, math.inf))


def _broken(place: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return (
        f"{place} must follow the study's records. At {where}: {first['msg']}; got {first['input']!r}. "
        "Run the study again, or mend the file."
    )


def _activations(folder: Path) -> Activations | None:
    path = folder / "activations.npz"
    if not path.is_file():
        return None
    with np.load(path) as arrays:
        found = Activations(
            arrays["plain"], arrays["whole"], arrays["thinned"], arrays["kept"].astype(bool), float(arrays["p"])
        )
    if not found.whole.shape == found.thinned.shape == found.mask.shape or len(found.plain) != len(found.whole):
        raise ValueError(
            f"`report.write`: {path} must hold the same rows and units in `whole`, `thinned` and `kept`. Got shapes "
            f"{found.whole.shape}, {found.thinned.shape} and {found.mask.shape} (`plain`: {found.plain.shape}). "
            "Run the study again."
        )
    return found
