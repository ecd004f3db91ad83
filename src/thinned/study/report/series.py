"""What the figures draw, as data frames: a figure's numbers can be tested without looking at it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thinned.study.record import LevelResult
from thinned.study.report.records import Records

MEASURES = ("train_error", "train_nll", "val_error", "val_nll")


def curve(records: Records, level: LevelResult) -> pd.DataFrame:
    """Mean, lowest and highest over a level's runs, a step a row; a run that has ended stays at its last value.

    Columns are each of `MEASURES` followed by `_mean`, `_low` or `_high`; `running` counts the runs not ended yet.
    """
    points = records.curves[records.curves["run"].isin(records.runs_of(level)["run"])]
    columns = {"running": points.groupby("step").size()}
    for measure in MEASURES:
        by_run = points.pivot_table(index="step", columns="run", values=measure, aggfunc="last", dropna=False)
        filled = by_run.sort_index().ffill().bfill()  # the first point of a run may come later than another's
        columns[f"{measure}_mean"] = filled.mean(axis=1)
        columns[f"{measure}_low"] = filled.min(axis=1)
        columns[f"{measure}_high"] = filled.max(axis=1)
    return pd.DataFrame(columns)


def best_states(records: Records, level: LevelResult) -> pd.DataFrame:
    """Each run's kept state as its curve shows it: `step` and each of `MEASURES`."""
    runs = records.runs_of(level)[["run", "best_step"]]
    found = records.curves.merge(runs, on="run")
    return found[found["step"] == found["best_step"]][["run", "step", *MEASURES]].reset_index(drop=True)


def excess(records: Records, level: LevelResult, measure: str) -> NDArray[np.float64]:
    """Validation minus training `measure` ("error" or "nll") of each run's kept state, on all rows."""
    runs = records.runs_of(level)
    return (runs[f"val_{measure}"] - runs[f"train_{measure}"]).to_numpy(float)


def seeds(records: Records) -> pd.DataFrame:
    """Every run of the dropout arm at its chosen learning rate, in order of p and seed."""
    rows = records.runs
    return rows[(rows["arm"] == "dropout") & rows["chosen_lr"].astype(bool)].sort_values(["p", "seed"])


def levels(records: Records) -> list[LevelResult]:
    """The dropout arm's levels, in order of p."""
    return sorted((level for level in records.study.levels if level.arm == "dropout"), key=lambda level: level.p)


def places(records: Records) -> dict[float, float]:
    """Where each p stands on an axis of even steps: .02 and .05 must not collide."""
    ps = sorted({level.p for level in records.study.levels if level.arm in ("dropout", "both", "input")})
    return {p: float(place) for place, p in enumerate(ps)}


def grid(records: Records, measure: str = "val_loss") -> pd.DataFrame:
    """Mean of `measure` over seeds: learning rates down (largest first), p across.

    A p's cells are means over the seeds that all of them have, where there is such a seed. NaN where nothing was run,
    infinite where a run diverged.
    """
    rows = records.runs[records.runs["arm"] == "dropout"]
    ps = sorted({*records.study.ps, *rows["p"]})
    columns = {}
    for p in ps:
        runs = rows[rows["p"] == p]
        shared = set(runs["seed"]).intersection(*(set(cell) for _, cell in runs.groupby("lr")["seed"]))
        columns[p] = (runs[runs["seed"].isin(shared)] if shared else runs).groupby("lr")[measure].mean()
    lrs = sorted(set(rows["lr"]) or records.study.lrs, reverse=True)
    return pd.DataFrame(columns, columns=ps, dtype=float).reindex(lrs)


def raced(records: Records, table: pd.DataFrame) -> NDArray[np.bool_]:
    """For each cell of `grid`, whether most of its runs left early because another learning rate was far ahead."""
    rows = records.runs[records.runs["arm"] == "dropout"]
    share = (rows["ended"] == "raced").groupby([rows["lr"], rows["p"]]).mean()
    cells = [[float(share.get((lr, p), 0.0)) > 0.5 for p in table.columns] for lr in table.index]
    return np.array(cells, dtype=bool).reshape(table.shape)


def active(array: NDArray[np.float32]) -> float:
    """The fraction of (row, unit) pairs whose activation is above 0."""
    return float((array > 0).mean())


def unit_means(array: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each unit's mean activation over the rows."""
    means: NDArray[np.float64] = array.mean(axis=0, dtype=np.float64)
    return means
