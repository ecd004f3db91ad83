"""What the figures draw, as data frames: a figure's numbers can be tested without looking at it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thinned.study.record import Level
from thinned.study.report.records import Records

MEASURES = ("train_error", "train_nll", "val_error", "val_nll")


def curve(records: Records, level: Level) -> pd.DataFrame:
    """Mean, lowest and highest over a level's seeds, an epoch a row.

    Columns are each of `MEASURES` followed by `_mean`, `_low` or `_high`; `seeds` counts the runs that reached
    the epoch.
    """
    by_epoch = _points(records, level).groupby("epoch")
    columns = {"seeds": by_epoch.size()}
    for measure in MEASURES:
        columns[f"{measure}_mean"] = by_epoch[measure].mean()
        columns[f"{measure}_low"] = by_epoch[measure].min()
        columns[f"{measure}_high"] = by_epoch[measure].max()
    return pd.DataFrame(columns)


def gaps(records: Records, level: Level, measure: str) -> NDArray[np.float64]:
    """Each seed's overfitting gap: validation minus training `measure` ("error" or "nll") at its last epoch."""
    last = _points(records, level).sort_values("epoch").groupby("trial").last()
    return (last[f"val_{measure}"] - last[f"train_{measure}"]).to_numpy(float)


def _points(records: Records, level: Level) -> pd.DataFrame:
    return records.curves[records.curves["trial"].isin(records.runs(level)["trial"])]


def seeds(records: Records) -> pd.DataFrame:
    """Every dropout run at its chosen learning rate: `p`, `seed`, `test_error`, `test_nll`, `test_calibration`."""
    rows = records.trials
    chosen = rows[(rows["arm"] == "dropout") & rows["chosen_lr"].astype(bool)]
    return chosen[["p", "seed", "test_error", "test_nll", "test_calibration"]].sort_values(["p", "seed"])


def levels(records: Records) -> pd.DataFrame:
    """The dropout arm's levels, a p a row, in order of p."""
    rows = [level.model_dump() for level in records.study.levels if level.arm == "dropout"]
    return pd.DataFrame(rows, columns=list(Level.model_fields)).sort_values("p").reset_index(drop=True)


def grid(records: Records, measure: str = "val_loss") -> pd.DataFrame:
    """Mean of `measure` over seeds: learning rates down (largest first), p across.

    A search may try a rate with fewer seeds than it then trains the chosen one with. So a p's cells are means over the
    seeds that all of them have, where there is such a seed. NaN where nothing was run, infinite where a run diverged.
    """
    rows = records.trials[records.trials["arm"] == "dropout"]
    ps = sorted({*records.study.ps, *rows["p"]})
    columns = {}
    for p in ps:
        runs = rows[rows["p"] == p]
        shared = set(runs["seed"]).intersection(*(set(cell) for _, cell in runs.groupby("lr")["seed"]))
        columns[p] = (runs[runs["seed"].isin(shared)] if shared else runs).groupby("lr")[measure].mean()
    lrs = sorted(set(rows["lr"]) or records.study.lrs, reverse=True)
    return pd.DataFrame(columns, columns=ps, dtype=float).reindex(lrs)


def active(array: NDArray[np.float32]) -> float:
    """The fraction of (row, unit) pairs whose activation is above 0."""
    return float((array > 0).mean())


def unit_means(array: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each unit's mean activation over the rows."""
    means: NDArray[np.float64] = array.mean(axis=0, dtype=np.float64)
    return means
