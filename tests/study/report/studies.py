"""A dozen studies as records, made up so that each stands for one outcome; their words are those that a study says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from pydantic import BaseModel

from thinned.study.answer.speech import name
from thinned.study.answer.words import say
from thinned.study.record import (
    Arm,
    BaselineResult,
    CalibrationEstimate,
    ColumnRecord,
    Difference,
    Estimate,
    Kind,
    LevelResult,
    Network,
    Point,
    RangePoint,
    RateRange,
    Run,
    Study,
)

PS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
LRS = (0.0003, 0.001, 0.003, 0.01)
WORTH = 0.005  # in units of the base error: what is worth having
CALIBRATION = CalibrationEstimate(value=0.03, low=0.02, high=0.04, perfect=0.012)
COLUMNS = (
    ColumnRecord(name="petal <length>", read_as="number", why="numbers, decimal sign ','"),
    ColumnRecord(name="seen", read_as="date", why="dates as 31/01/2026, day first: month, days since 2025-01-03"),
    ColumnRecord(name="id", read_as="left out", why="it numbers the rows: whole numbers, all different"),
)
TITLES = {"constant": "majority class", "linear": "logistic regression", "tree": "gradient boosting"}


@dataclass(frozen=True)
class Case:
    """What is true of a made-up study. Effects are differences from p = 0 in the deciding metric."""

    effects: Mapping[float, float] = field(default_factory=lambda: {p: -0.02 * min(p / 0.3, 1.0) for p in PS[1:]})
    half: float = 0.006  # half of an interval
    base: float = 0.08
    best_p: float = 0.5
    chosen: Arm = "dropout"
    chosen_p: float = 0.5
    others: Mapping[str, float] = field(default_factory=lambda: {"decay": -0.006, "both": -0.021, "input": -0.019})
    baselines: Mapping[str, float] = field(default_factory=lambda: {"constant": 0.82, "linear": 0.04, "tree": 0.025})
    task: str = "classification"
    metric: str = "error"
    metric_title: str = "test error"
    target: str = "species"
    title: str = "Iris"
    outer: int = 1
    seeds: int = 3
    rows_test: int = 2000
    calibrated: bool = True
    edges: tuple[float, ...] = ()
    unfinished: Mapping[float, float] = field(default_factory=dict)
    complete: bool = True
    stopped: str = ""
    answers: bool = True  # whether a network was chosen
    finished: tuple[float, ...] = PS
    turns: bool = True  # whether validation NLL turns up again at p = 0
    warnings: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def study_of(case: Case) -> Study:
    """The record, its words included."""
    levels = [_level(case, "dropout", p, case.effects.get(p, 0.0)) for p in case.finished]
    if case.complete:
        levels += [_level(case, cast(Arm, arm), case.best_p, effect) for arm, effect in case.others.items()]
    baselines = [_baseline(case, key, effect) for key, effect in case.baselines.items() if case.complete]
    top = next((x for x in levels if x.arm == case.chosen and x.p in (case.chosen_p, case.best_p, 0.0)), None)
    if case.chosen == "dropout":
        top = next((x for x in levels if x.arm == "dropout" and x.p == case.chosen_p), None)
    classes = case.task == "classification"
    unit = {"error": "%", "auc": "%"}.get(case.metric, case.target)
    record = Study(
        title=case.title, source="made up", task=cast(Any, case.task), metric=case.metric,
        metric_title=case.metric_title, unit=unit, error_title="test error" if classes else "test RMSE",
        target=case.target, classes=["a", "b", "c"] if classes else [], features=4, columns=list(COLUMNS),
        rows_train=1100, rows_val=900,
        rows_test=case.rows_test, outer=case.outer, hidden=[128, 128], batch=16, max_steps=12_700, seed=0,
        seeds=case.seeds, ps=sorted({*case.finished, *case.effects, 0.0}), lrs=list(LRS), weight_decays=[0.5, 2.0],
        diverges_at=0.1, levels=levels, baselines=baselines, differences=_differences(case, levels, baselines, top),
        ranges=_ranges(case), best_p=case.best_p, network=_network(case, top), advice="plain", headline="", words=[],
        warnings=list(case.warnings), notes=["3 rows stood twice and were kept on one side."],
        failures=list(case.failures), seconds=150.0, versions={"thinned": "0.1.0"}, complete=case.complete,
        stopped=case.stopped,
    )  # fmt: skip
    return say(record)


def _near(case: Case, value: float) -> Estimate:
    return Estimate(value=value, low=max(value - case.half, 0.0), high=value + case.half)


def _level(case: Case, arm: Arm, p: float, effect: float) -> LevelResult:
    value, classes = max(case.base + effect, 0.0), case.task == "classification"
    p = 0.0 if arm == "decay" else p
    error = value if case.metric in ("error", "rmse") else 0.5 * value
    nll = 0.35 - 0.2 * p
    against = Estimate(value=effect, low=effect - case.half, high=effect + case.half)
    train = error * (0.2 + p)
    return LevelResult(
        arm=arm, p=p, p_input=0.2 if arm == "input" else 0.0, weight_decay=0.5 if arm in ("decay", "both") else 0.0,
        lrs=[_lr(p)] * case.outer, lr_at_edge=arm == "dropout" and p in case.edges, seeds=case.seeds,
        error=_near(case, error), train_error=train, gap=error - train, metric=_near(case, value),
        against_plain=None if arm == "dropout" and p == 0 else against,
        figures={"nll": nll, "brier": 0.11, "auc": 0.01, "f1": 0.09} if classes else {"nll": nll, "mae": 0.7 * value},
        nll=nll, nll_tempered=0.28 - 0.03 * p if classes else nll, temperature=1.4 if classes else 1.0,
        calibration=CALIBRATION if case.calibrated and classes else None,
        val_loss=value, val_nll=nll, steps=float(np.median([_best_step(p, seed) for seed in range(case.seeds)])),
        unfinished=case.unfinished.get(p, 0.0) if arm == "dropout" else 0.0,
    )  # fmt: skip


def _baseline(case: Case, key: str, effect: float) -> BaselineResult:
    value = case.base + effect
    titles = TITLES if case.task == "classification" else TITLES | {"constant": "mean", "linear": "ridge regression"}
    return BaselineResult(
        name=cast(Any, key), title=titles[key], error=_near(case, value), metric=_near(case, value), figures={}, nll=0.5
    )


def _differences(
    case: Case, levels: list[LevelResult], baselines: list[BaselineResult], top: LevelResult | None
) -> list[Difference]:
    def pair(first: LevelResult | BaselineResult, second: LevelResult | BaselineResult) -> Difference:
        value = first.metric.value - second.metric.value
        names = [x.title if isinstance(x, BaselineResult) else name(x) for x in (first, second)]
        return Difference(
            first=names[0], second=names[1], metric=case.metric, value=value, low=value - case.half,
            high=value + case.half, visible=1.4 * case.half, rows_needed=9000, seeds_needed=None,
        )  # fmt: skip

    plain = next((x for x in levels if x.arm == "dropout" and x.p == 0), None)
    noisy = next((x for x in levels if x.arm == "dropout" and x.p == case.best_p), None)
    found = [pair(noisy, plain)] if noisy and plain else []
    if noisy and plain and case.task == "classification":
        value = noisy.nll_tempered - plain.nll_tempered
        found.append(found[0].model_copy(update={
            "metric": "nll tempered", "value": value, "low": value - 0.004, "high": value + 0.004, "visible": 0.006,
        }))  # fmt: skip
    others = [level for level in levels if level.arm != "dropout"]
    found += [pair(level, noisy) for level in others if noisy]
    if top and plain and top is not plain and top is not noisy:
        found.append(pair(top, plain))
    found += [pair(top, item) if item.name == "constant" else pair(item, top) for item in baselines if top]
    return found


def _ranges(case: Case) -> list[RateRange]:
    rows: list[RateRange] = []
    for p in case.finished:
        if p == 0 or p not in case.effects:
            continue
        low, high = case.effects[p] - case.half, case.effects[p] + case.half
        worth = WORTH * case.base / 0.08
        level = max(abs(low), abs(high)) <= worth
        kind: Kind = "better" if high < 0 else "worse" if low > 0 else "level" if level else "unclear"
        if rows and rows[-1].kind == kind:
            before = rows.pop()
            rows.append(RateRange(ps=[*before.ps, p], kind=kind, low=min(before.low, low), high=max(before.high, high)))
        else:
            rows.append(RateRange(ps=[p], kind=kind, low=low, high=high))
    return rows


def _network(case: Case, top: LevelResult | None) -> Network | None:
    if top is None or not case.answers:
        return None
    new = case.outer == 1
    return Network(
        arm=top.arm, p=top.p, p_input=top.p_input, weight_decay=top.weight_decay, lrs=top.lrs, members=case.seeds,
        temperature=1.31 if case.task == "classification" else 1.0, error=0.97 * top.error.value if new else None,
        nll=0.97 * top.nll_tempered if new else None, chosen=top.metric,
    )  # fmt: skip


def _lr(p: float) -> float:
    return LRS[1] if p < 0.2 else LRS[2]


def _best_step(p: float, seed: int) -> int:
    return STEPS[min(8 + int(16 * p) + seed % 2, len(STEPS) - 1)]


STEPS = [10, 20, 50, 100, 150, 200, 300, 400, 500, 600, 700, 900, 1100, 1300, 1500, 1800, 2100, 2600, 3100]


def write_records(case: Case, folder: Path) -> Study:
    """The folder as a study leaves it, without report."""
    study = study_of(case)
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(study.model_dump_json(indent=1), encoding="utf-8")
    runs, points = [], []
    for level in study.levels:
        for lr in LRS:
            for seed in range(case.seeds):
                run = _run(case, level, lr, seed)
                runs.append(run)
                points += _points(case, run)
    range_test = [RangePoint(lr=float(lr), loss=1.1 - 0.6 * min(lr / 0.02, 1) + max(lr - 0.1, 0) * 30)
                  for lr in np.geomspace(1e-5, 1, 60)]  # fmt: skip
    for file, rows, kind in (("runs", runs, Run), ("curves", points, Point), ("range", range_test, RangePoint)):
        _csv(folder / f"{file}.csv", rows, kind)
    if case.complete:
        _activations(folder / "activations.npz", case.best_p or 0.1)
    return study


def _csv(path: Path, rows: list[Any], kind: type[BaseModel]) -> None:
    pd.DataFrame([row.model_dump() for row in rows], columns=list(kind.model_fields)).to_csv(path, index=False)


def _run(case: Case, level: LevelResult, lr: float, seed: int) -> Run:
    chosen = lr == level.lrs[0]
    far = abs(np.log(lr / level.lrs[0]))
    spread = 1 + 0.02 * (seed - (case.seeds - 1) / 2)
    val = level.val_loss * (1 + 0.15 * far) * spread
    return Run(
        run=f"{name(level)}-{lr:g}-{seed}".replace(" ", ""), arm=level.arm, p=level.p, p_input=level.p_input,
        weight_decay=level.weight_decay, lr=lr, seed=seed, outer=seed % case.outer, chosen_lr=chosen,
        best_step=_best_step(level.p, seed), steps=1500 if level.p < 0.2 else 3100,
        ended="raced" if far > 2 else "converged", train_error=level.train_error * spread, train_nll=level.nll * 0.3,
        val_error=level.error.value * 0.9 * spread, val_nll=level.nll, val_loss=val,
        test_error=level.error.value * spread, test_nll=level.nll, temperature=level.temperature,
        test_nll_tempered=level.nll_tempered, seconds=1.0,
    )  # fmt: skip


def _points(case: Case, run: Run) -> list[Point]:
    points = []
    for step in (x for x in STEPS if x <= run.steps):
        left = float(np.exp(-3.0 * step / run.best_step)) if step < run.best_step else 0.0
        late = max(np.log(step / run.best_step), 0.0) if case.turns and run.p < 0.2 else 0.0
        points.append(Point(
            run=run.run, step=step, train_loss=0.1 + left, train_error=run.train_error + left * 8 * case.base,
            train_nll=run.train_nll + left, val_error=run.val_error + left * 8 * case.base,
            val_nll=run.val_nll * (1 + 0.3 * late) + left, val_loss=run.val_loss * (1 + 0.1 * late) + left,
        ))  # fmt: skip
    return points


def _activations(path: Path, p: float) -> None:
    rng = np.random.default_rng(0)
    plain, whole = (np.maximum(rng.normal(size=(64, 60)) - shift, 0).astype(np.float32) for shift in (0.2, 0.8))
    mask = rng.random((64, 60)) >= p
    np.savez(path, plain=plain, whole=whole, thinned=(whole * mask / (1 - p)).astype(np.float32), kept=mask, p=p)
