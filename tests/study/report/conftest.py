"""A small real study, trained once a session: the pages under test are made from what networks really did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn

from thinned.study.record import Arm, Difference, Level, Point, Study, Task, Trial

T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # Student's t, 97.5 % quantile, by degrees of freedom


class Rows(NamedTuple):
    """Standardised features and the target: class numbers, or a z-score whose unit is `scale` of the target's own."""

    x: Tensor
    y: Tensor
    scale: float


def split(x: NDArray[np.float64], y: NDArray[np.float64], task: Task, sizes: Sequence[int]) -> list[Rows]:
    """Train, validation and test rows from one fixed permutation; the train rows alone set the scales."""
    order = np.random.default_rng(0).permutation(len(x))
    ends = np.cumsum(sizes)
    parts = [order[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    mean, sd = x[parts[0]].mean(0), x[parts[0]].std(0) + 1e-3
    shift, scale = (float(y[parts[0]].mean()), float(y[parts[0]].std())) if task == "regression" else (0.0, 1.0)
    kind = torch.float32 if task == "regression" else torch.int64
    return [
        Rows(
            torch.tensor((x[part] - mean) / sd, dtype=torch.float32),
            torch.tensor((y[part] - shift) / scale, dtype=kind),
            scale,
        )
        for part in parts
    ]


@torch.no_grad()
def judge(net: nn.Module, rows: Rows, task: Task) -> tuple[float, float, float]:
    """Error, NLL in nats a row, calibration error; noise off."""
    net.eval()
    out = net(rows.x)
    if task == "regression":
        squares = (out.squeeze(1) - rows.y).square()
        variance = float(squares.mean())
        covered = float((squares < 1.96**2 * variance).float().mean())
        nll = 0.5 * math.log(2 * math.pi * variance * rows.scale**2) + 0.5
        return math.sqrt(variance) * rows.scale, nll, abs(covered - 0.95)
    confidence, guess = out.softmax(1).max(1)
    right = guess == rows.y
    bins = (confidence * 15).long().clamp(max=14)
    gaps = [(right[bins == b].float().mean() - confidence[bins == b].mean()).abs() * (bins == b).float().mean()
            for b in bins.unique()]  # fmt: skip
    return float((~right).float().mean()), float(nn.functional.cross_entropy(out, rows.y)), float(sum(gaps))


def train(
    parts: list[Rows], task: Task, hidden: Sequence[int], trial: Trial, epochs: int
) -> tuple[nn.Sequential, Trial, list[Point]]:
    """One run: the trial's settings in, its measurements and its curve out."""
    torch.manual_seed(trial.seed)
    outputs = int(parts[0].y.max()) + 1 if task == "classification" else 1
    layers: list[nn.Module] = []
    for before, after in zip([parts[0].x.shape[1], *hidden], hidden, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(trial.p)]
    net = nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))
    optimiser = torch.optim.SGD(net.parameters(), lr=trial.lr, momentum=0.9, weight_decay=trial.weight_decay)
    points = []
    for epoch in range(1, epochs + 1):
        net.train()
        losses = []
        for batch in torch.randperm(len(parts[0].x)).split(32):
            out = net(parts[0].x[batch])
            if task == "regression":
                loss = nn.functional.mse_loss(out.squeeze(1), parts[0].y[batch])
            else:
                loss = nn.functional.cross_entropy(out, parts[0].y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        (train_error, train_nll, _), (val_error, val_nll, _) = judge(net, parts[0], task), judge(net, parts[1], task)
        points.append(
            Point(trial=trial.trial, epoch=epoch, train_loss=float(np.mean(losses)), train_error=train_error,
                  train_nll=train_nll, val_error=val_error, val_nll=val_nll)
        )  # fmt: skip
    error, nll, calibration = judge(net, parts[2], task)
    last = points[-1]
    measured = {"train_error": last.train_error, "train_nll": last.train_nll, "val_error": last.val_error,
                "val_nll": last.val_nll, "test_error": error, "test_nll": nll,
                "test_calibration": calibration, "epochs": epochs}  # fmt: skip
    return net, trial.model_copy(update=measured), points


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds; a single seed has none."""
    mean, n = float(np.mean(values)), len(values)
    half = T95[n - 1] * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return mean, mean - half, mean + half


def run(
    folder: Path,
    *,
    task: Task = "classification",
    ps: Sequence[float] = (0.0, 0.3, 0.6),
    lrs: Sequence[float] = (0.02, 0.1),
    l2: float | None = 3e-3,
    seeds: int = 3,
    epochs: int = 8,
    hidden: Sequence[int] = (64,),
    sizes: Sequence[int] = (200, 400, 800),
    data: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    title: str = "Handwritten digits",
    unit: str = "%",
) -> Path:
    """Train every trial and leave a study's records in `folder`."""
    x, y = data or (load_digits if task == "classification" else load_diabetes)(return_X_y=True)
    parts = split(x, y, task, sizes)
    arms: list[tuple[Arm, float, float]] = [("dropout", p, 0.0) for p in ps]
    arms += [("l2", 0.0, l2)] if l2 else []
    trials: list[Trial] = []
    curves: list[Point] = []
    nets: dict[str, nn.Sequential] = {}
    for arm, p, decay in arms:
        runs: list[Trial] = []
        for lr in lrs:
            for seed in range(seeds):
                blank = Trial(
                    trial=f"{arm}-p{p:g}-lr{lr:g}-wd{decay:g}-seed{seed}", arm=arm, p=p, lr=lr, weight_decay=decay,
                    seed=seed, epochs=epochs, chosen_lr=False, train_error=0, train_nll=0, val_error=0, val_nll=0,
                    test_error=0, test_nll=0, test_calibration=0, seconds=0.0,
                )  # fmt: skip
                net, trial, points = train(parts, task, hidden, blank, epochs)
                nets[trial.trial] = net
                runs.append(trial)
                curves += points
        best_lr = min(lrs, key=lambda lr: np.mean([t.val_error for t in runs if t.lr == lr]))
        trials += [t.model_copy(update={"chosen_lr": t.lr == best_lr}) for t in runs]
    levels = []
    for arm, p, decay in arms:
        rows = [t for t in trials if t.chosen_lr and (t.arm, t.p) == (arm, p)]
        error, low, high = interval([t.test_error for t in rows])
        mean = {
            name: float(np.mean([getattr(t, name) for t in rows]))
            for name in ("test_nll", "test_calibration", "train_error", "train_nll", "val_error", "val_nll")
        }
        levels.append(Level(arm=arm, p=p, lr=rows[0].lr, weight_decay=decay, seeds=seeds, test_error=error,
                            test_error_low=low, test_error_high=high, **mean))  # fmt: skip
    dropped = [level for level in levels if level.arm == "dropout"]
    best = min(dropped, key=lambda level: level.val_error)
    differences = []
    for other, name in [(dropped[0], "p = 0"), *([(levels[-1], "L2")] if l2 else [])]:
        for metric in ("error", "nll"):
            pairs = [
                [getattr(t, f"test_{metric}") for t in trials if t.chosen_lr and (t.arm, t.p) == (level.arm, level.p)]
                for level in (best, other)
            ]
            value, low, high = interval([a - b for a, b in zip(*pairs, strict=True)])
            differences.append(Difference.model_validate(
                {"first": f"p = {best.p:g}", "second": name, "metric": metric, "value": value, "low": low, "high": high}
            ))  # fmt: skip
    gain = differences[0]
    verdict = "helps" if gain.high < 0 else "hurts" if gain.low > 0 else "no difference"
    percent = task == "classification"
    a, b = (100 * dropped[0].test_error, 100 * best.test_error) if percent else (dropped[0].test_error, best.test_error)
    study = Study.model_validate({
        "title": title, "source": "scikit-learn's bundled data", "task": task,
        "metric": "test error" if percent else "test RMSE", "unit": "%" if percent else unit, "target": "target",
        "classes": [str(c) for c in range(int(y.max()) + 1)] if percent else [], "features": x.shape[1],
        "rows_train": sizes[0], "rows_val": sizes[1], "rows_test": sizes[2], "hidden": list(hidden), "seed": 0,
        "seeds": seeds, "ps": list(ps), "lrs": list(lrs), "best_p": best.p, "best_lr": best.lr, "levels": levels,
        "differences": differences, "verdict": verdict,
        "words": [f"At p = {best.p:g} the test result is {b:.2f} {'%' if percent else unit}; "
                  f"without dropout it is {a:.2f} {'%' if percent else unit}.",
                  f"The learning rate {best.lr:g} was chosen for it on the validation rows."],
        "seconds": 0.0, "versions": {"torch": torch.__version__}, "complete": True,
    })  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(study.model_dump_json(indent=2), encoding="utf-8")
    pd.DataFrame([t.model_dump() for t in trials]).to_csv(folder / "trials.csv", index=False)
    pd.DataFrame([c.model_dump() for c in curves]).to_csv(folder / "curves.csv", index=False)
    noisy = [level for level in dropped if level.p > 0]
    if noisy:
        chosen = best if best.p > 0 else min(noisy, key=lambda level: level.val_error)
        save_activations(folder, parts[2].x[:32], dropped[0], chosen, nets)
    return folder


@torch.no_grad()
def save_activations(folder: Path, rows: Tensor, plain: Level, noisy: Level, nets: dict[str, nn.Sequential]) -> None:
    """The first hidden layer, after its ReLU (and, for `thinned`, after its dropout), for the same test rows."""

    def first(level: Level, layers: int, training: bool) -> NDArray[np.float32]:
        net = nets[f"dropout-p{level.p:g}-lr{level.lr:g}-wd0-seed0"][:layers].train(training)
        array: NDArray[np.float32] = net(rows).numpy()
        return array

    torch.manual_seed(0)
    thinned = first(noisy, 3, True)
    torch.manual_seed(0)  # the same draw, read off a layer of ones
    kept = nn.functional.dropout(torch.ones(thinned.shape), noisy.p).numpy() > 0
    np.savez(
        folder / "activations.npz", plain=first(plain, 2, False), whole=first(noisy, 2, False), thinned=thinned,
        kept=kept, p=np.float32(noisy.p),
    )  # fmt: skip


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("digits") / "thinned-study")


@pytest.fixture(scope="session")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Regression, with a column name that would break out of a page or a formula."""
    return run(
        tmp_path_factory.mktemp("diabetes") / "thinned-study", task="regression", ps=(0.0, 0.2), lrs=(0.003, 0.01),
        sizes=(200, 100, 142), title="Diabetes <script>alert(1)</script>", unit="cost <$ & $>",
    )  # fmt: skip
