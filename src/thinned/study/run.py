"""A study from data to folder: split, search, train, judge, write."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fit.loop import batch_size
from . import best, split
from .dataset import Dataset, StudyError
from .fold import Fold
from .journal import Journal
from .plan import Candidate, Chooser, Grid, ValidationFigures
from .pool import Pool
from .prepare import Preparation, fit
from .record import Study, Task
from .results import conclude, write_results, write_trials
from .retrained import Retrained, retrain
from .source import open_data
from .trial import Config, Outcome, Recipe, run

PS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
LRS = (0.004, 0.008, 0.016)
WEIGHT_DECAYS = (0.5, 2.0)
P_INPUT = 0.2  # the rate at which inputs are dropped as well, once the best p is known (Srivastava et al. 2014)
EPOCHS, MIN_STEPS = 15, 300
HIDDEN = (512, 512)


@dataclass(frozen=True)
class Progress:
    """How far a study is: trials finished, trials expected (widening a grid adds some), and what goes on."""

    done: int
    total: int
    doing: str


def run_study(
    data: str | Path | Dataset | None = None,
    *,
    target: str | None = None,
    task: Task | None = None,
    out: str | Path = "thinned-study",
    seed: int = 0,
    seeds: int = 5,
    ps: Sequence[float] = PS,
    lrs: Sequence[float] = LRS,
    epochs: int | None = None,
    hidden: Sequence[int] = HIDDEN,
    train_rows: int | None = None,
    jobs: int = 1,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Study:
    """Find out whether dropout helps on some data, at which p, with a fair learning rate for each p.

    Arguments:
        data: a `.csv`, `.parquet` or `.npz` file, a folder of IDX images, or None for 5,000 MNIST digits.
        target: the column to predict.
        task: "classification" or "regression", if the target does not say.
        out: the folder to write. If it holds the same study unfinished, that is continued.
        seed: decides every split, initial weight, order and mask: the same seed gives the same numbers.
        seeds: how often each p is trained in the end, on different training rows, weights and masks; at least 2.
        ps: drop probabilities to try, in [0, 1). 0 is always among them.
        lrs: learning rates to try, widened where the best is at an edge; one alone is taken as given.
        epochs: passes over the training rows; None means 15, or what it takes to make 300 steps.
        hidden: units of each hidden layer.
        train_rows: how many rows to train on; None means 1,000 images, or 55 % of a table.
        jobs: processes. The numbers do not depend on it. Above 1, a script needs `if __name__ == "__main__":`.
        watch: called after every trial.

    Returns what `study.json` in `out` holds; beside it lie `trials.csv`, `curves.csv`, `report.html`, and the chosen
    network for `load`.

    Raises:
        StudyError: data, options or a folder that cannot be used, and nothing has been written; or trials in the folder
            that were run elsewhere and cannot be repeated here.
        KeyboardInterrupt: Ctrl-C. What is finished is in `out`, and the same call goes on from there.
    """
    start = time.perf_counter()
    out = Path(out)
    _check(seed, seeds, ps, lrs, epochs, hidden, train_rows, jobs)
    dataset = data if isinstance(data, Dataset) else open_data(None if data is None else Path(data), target, task)
    size = split.sizes(dataset, train_rows)
    batch = batch_size(size.train)
    steps_an_epoch = -(-size.train // batch)
    recipe = Recipe(seed, tuple(hidden), epochs or max(EPOCHS, -(-MIN_STEPS // steps_an_epoch)), batch)
    grid = Grid(
        tuple(sorted({0.0, *map(float, ps)})), tuple(sorted(set(map(float, lrs)))), WEIGHT_DECAYS, seeds, P_INPUT
    )
    versions = {name: version(name) for name in ("thinned", "torch", "numpy", "scikit-learn")}
    settings: dict[str, Any] = {
        "data": dataset.title,
        "data's fingerprint": dataset.fingerprint(),
        "--seed": seed,
        "--seeds": seeds,
        "--p": grid.ps,
        "--lr": grid.lrs,
        "--epochs": recipe.epochs,
        "--hidden": recipe.hidden,
        "--train-rows": size.train,
        **{f"{name}'s version": found for name, found in versions.items() if name in ("thinned", "torch")},
    }
    journal = Journal(out, settings)
    finished = journal.read()

    def facts(levels_seeds: int, complete: bool) -> Study:
        return conclude(
            dataset,
            size,
            Chooser(replace(grid, seeds=levels_seeds), _seen(finished)),
            finished,
            hidden=list(recipe.hidden),
            seed=seed,
            seconds=time.perf_counter() - start,
            versions={**versions, "python": platform.python_version()},
            complete=complete,
        )

    try:
        with tempfile.TemporaryDirectory(prefix="thinned-study-") as scratch:
            preparations = _prepare(dataset, size, seed, seeds, Path(scratch))
            with Pool(Path(scratch), recipe, jobs) as pool:
                while missing := Chooser(grid, _seen(finished)).missing():
                    for outcome in pool.map(run, missing):
                        journal.add(outcome)
                        finished[outcome.config] = outcome
                        total = max(Chooser(grid, _seen(finished)).outlook(), len(finished))
                        watch(Progress(len(finished), total, outcome.config.name))
                watch(Progress(len(finished), len(finished), "writing the report"))
                study = facts(seeds, complete=True)
                chooser = Chooser(grid, _seen(finished))
                retrained = _retrain(pool, chooser, finished)
            fold = Fold.load(Path(scratch) / "0.npz")
    except KeyboardInterrupt:
        finished.update(journal.read())  # the signal may have come between keeping a trial and counting it
        done = Chooser(grid, _seen(finished)).seeds_done()
        if done >= 2:
            write_results(out, facts(done, complete=False))
        write_trials(out, dataset.task, Chooser(replace(grid, seeds=max(done, 2)), _seen(finished)), finished)
        raise
    best.save(out, dataset, preparations[0], retrained[chooser.best()], recipe, fold.mean, fold.scale)
    write_trials(out, dataset.task, chooser, finished)
    _write_activations(out, retrained[chooser.at(0.0)], retrained[chooser.at(chooser.p_above_zero())])
    write_results(out, study)
    from .report import write as write_report  # late: drawing needs matplotlib, which nothing above does

    write_report(out)
    return study


def _check(
    seed: int,
    seeds: int,
    ps: Sequence[float],
    lrs: Sequence[float],
    epochs: int | None,
    hidden: Sequence[int],
    train_rows: int | None,
    jobs: int,
) -> None:
    rules = [
        ("--seed", seed, 0 <= seed < 2**63, "a whole number, 0 or more"),
        ("--seeds", seeds, seeds >= 2, "at least 2: one run cannot tell an effect from luck"),
        *(("--p", p, 0 <= p < 1, "a drop probability in [0, 1)") for p in ps),
        ("--p", list(ps), any(p > 0 for p in ps), "at least one rate above 0 to compare with 0"),
        *(("--lr", lr, 0 < lr < float("inf"), "a positive number") for lr in lrs),
        ("--lr", list(lrs), len(lrs) > 0, "at least one learning rate"),
        ("--epochs", epochs, epochs is None or epochs >= 1, "at least 1"),
        (
            "--hidden",
            list(hidden),
            len(hidden) > 0 and all(n >= 1 for n in hidden),
            "units of each hidden layer, 1 or more",
        ),
        ("--train-rows", train_rows, train_rows is None or train_rows >= 2, "at least 2"),
        ("--jobs", jobs, jobs >= 1, "at least 1"),
    ]
    for name, value, holds, rule in rules:
        if not holds:
            hint = (
                f" If {value:g} % was meant, pass {value / 100:g}."
                if name == "--p" and isinstance(value, (int, float)) and 1 < value < 100
                else ""
            )
            raise StudyError(f"`{name}` must be {rule}. Got {value}.{hint}")


def _seen(finished: dict[Config, Outcome]) -> list[ValidationFigures]:
    """Finished trials as a choice may see them: validation figures, nothing of the test rows."""
    return [ValidationFigures(config, outcome.val.loss, outcome.val.nll) for config, outcome in finished.items()]


def _prepare(data: Dataset, size: split.Sizes, seed: int, seeds: int, folder: Path) -> list[Preparation]:
    """Every seed's rows as the network takes them, each prepared from its own training rows alone."""
    test = split.test_rows(data, size, seed)
    preparations = []
    for index in range(seeds):
        rows = split.rows(data, size, test, seed, index)
        preparation = fit(data.features.iloc[rows.train], data.pixels)
        y: NDArray[np.int64] | NDArray[np.float32]
        if data.task == "regression":
            mean, scale = float(data.y[rows.train].mean()), float(data.y[rows.train].std()) or 1.0
            y = ((data.y - mean) / scale).astype(np.float32)
        else:
            mean, scale, y = 0.0, 1.0, data.y.astype(np.int64)
        x_train, x_val, x_test = (preparation(data.features.iloc[part]) for part in (rows.train, rows.val, test))
        Fold(x_train, y[rows.train], x_val, y[rows.val], x_test, y[test], len(data.classes), mean, scale).save(
            folder / f"{index}.npz"
        )
        preparations.append(preparation)
    return preparations


def _retrain(pool: Pool, chooser: Chooser, finished: dict[Config, Outcome]) -> dict[Candidate, Retrained]:
    """Seed 0's networks at p = 0, at the best p above 0, and the chosen one."""
    candidates = {chooser.at(p) for p in (0.0, chooser.p_above_zero())} | {chooser.best()}
    configs = {candidate.at(chooser.lr(candidate), 0): candidate for candidate in candidates}
    order = sorted(configs, key=lambda config: config.name)
    retrained = {configs[found.config]: found for found in pool.map(retrain, order)}
    for found in retrained.values():
        before = finished[found.config].points[-1].val_nll
        if found.val_nll != before:
            raise StudyError(
                f"{found.config.name} gave another network than before (NLL {found.val_nll}, was {before}): "
                "its trial was run on another machine or with other libraries. Remove the folder and start again."
            )
    return retrained


def _write_activations(out: Path, plain: Retrained, noisy: Retrained) -> None:
    np.savez(
        out / "activations.npz",
        plain=plain.whole,
        whole=noisy.whole,
        thinned=noisy.thinned,
        kept=noisy.mask,
        p=np.float64(noisy.config.p),
    )
