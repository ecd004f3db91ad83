"""A study folder's records, read and checked: the only place in the report that touches its files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from thinned.study.record import SCHEMA, Level, Point, Study, Trial


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
    trials: pd.DataFrame  # columns: `Trial`'s fields
    curves: pd.DataFrame  # columns: `Point`'s fields
    activations: Activations | None

    def level(self, p: float) -> Level | None:
        """The dropout arm's level at `p`, or None where the study has not reached it."""
        return next((level for level in self.study.levels if level.arm == "dropout" and level.p == p), None)

    @property
    def plain(self) -> Level | None:
        """The level without dropout."""
        return self.level(0.0)

    @property
    def l2(self) -> Level | None:
        """The weight decay arm, if the study has one."""
        return next((level for level in self.study.levels if level.arm == "l2"), None)

    @property
    def inputs(self) -> Level | None:
        """The arm that drops inputs as well, if the study has one."""
        return next((level for level in self.study.levels if level.arm == "input"), None)

    @property
    def noisy(self) -> Level | None:
        """The level that stands for dropout: the chosen p, or where validation chose p = 0, the best p above 0."""
        levels = [level for level in self.study.levels if level.arm == "dropout" and level.p > 0]
        chosen = [level for level in levels if level.p == self.study.best_p]
        return chosen[0] if chosen else min(levels, key=lambda x: (x.val_loss, x.val_nll, x.p), default=None)

    def runs(self, level: Level) -> pd.DataFrame:
        """The trials behind a level: its arm and p, at the learning rate (and weight decay) that validation chose."""
        rows = self.trials
        same = (rows["arm"] == level.arm) & (rows["p"] == level.p) & (rows["weight_decay"] == level.weight_decay)
        return rows[same & rows["chosen_lr"].astype(bool)]


def read(folder: Path) -> Records:
    """Read a folder's `study.json`, `trials.csv` and `curves.csv`, and its `activations.npz` where it has one.

    A measurement that is not a number becomes infinite: the run diverged, and no mean may leave it out.

    Raises FileNotFoundError where a record is missing and ValueError where one breaks the contract of its model.
    """
    for name in ("study.json", "trials.csv", "curves.csv"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"`report.write`: `folder` must hold a study's records. There is no {name} in {folder}. "
                "Run `thinned study` first, or pass the folder it wrote."
            )
    try:
        study = Study.model_validate_json((folder / "study.json").read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(f"`report.write`: {_broken(str(folder / 'study.json'), error)}") from error
    if study.schema_version != SCHEMA:
        raise ValueError(
            f"`report.write`: {folder / 'study.json'} must have schema version {SCHEMA}. Got {study.schema_version}. "
            "Use the version of thinned that wrote it, or run the study again."
        )
    return Records(
        study, _table(folder / "trials.csv", Trial), _table(folder / "curves.csv", Point), _activations(folder)
    )


def _table(path: Path, row: type[Trial] | type[Point]) -> pd.DataFrame:
    raw = pd.read_csv(path, dtype={"trial": str})
    rows = []
    for line, values in enumerate(raw.to_dict("records"), start=2):  # line 1 is the header
        try:
            rows.append(row.model_validate(values))
        except ValidationError as error:
            raise ValueError(f"`report.write`: {_broken(f'{path}, line {line},', error)}") from error
    frame = pd.DataFrame([item.model_dump() for item in rows], columns=list(row.model_fields))
    measured = [name for name in frame.columns if name.endswith(("_error", "_nll", "_calibration", "_loss"))]
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
