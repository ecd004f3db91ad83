"""How good a network without dropout can be on a study's rows: 40 random settings, trained by plain PyTorch.

    python -m benchmarks.plain_search STUDY_FOLDER DATA.csv --target COLUMN

A check on `thinned study`'s p = 0 that shares only the rows with it: width 32 to 512, one to three layers, learning
rate 1e-4 to 3e-2, batch 16 to 128, weight decay 0, 10 to 300 epochs, with a linear decay of the rate or with early
stopping. The setting with the least mean validation loss over three of the study's seeds wins, and its test error is
compared with the study's p = 0 on the same seeds' test rows.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from thinned.study.data.parts import parts, sizes
from thinned.study.data.source import open_data
from thinned.study.trial.fold import Fold
from thinned.study.trial.prepared import prepared

SETTINGS, SEEDS = 40, 3


@dataclass(frozen=True)
class Setting:
    """A network and its training."""

    width: int
    layers: int
    lr: float
    batch: int
    epochs: int
    early: bool


def drawn(number: int) -> Setting:
    """Setting number so and so, the same for every set."""
    random = np.random.default_rng([12, number])
    return Setting(
        width=int(2 ** random.integers(5, 10)),
        layers=int(random.integers(1, 4)),
        lr=float(10 ** random.uniform(-4, -1.5)),
        batch=int(2 ** random.integers(4, 8)),
        epochs=int(10 ** random.uniform(1, 2.5)),
        early=bool(random.integers(2)),
    )


def trained(setting: Setting, fold: Fold, seed: int) -> tuple[float, float]:
    """Validation loss (Brier score, or mean squared error) and test error (share of rows, or RMSE)."""
    torch.manual_seed(seed)
    x, y, x_val, y_val, x_test, y_test = map(
        torch.from_numpy, (fold.x_train, fold.y_train, fold.x_val, fold.y_val, fold.x_test, fold.y_test)
    )
    sizes = [x.shape[1], *[setting.width] * setting.layers]
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(sizes[-1], fold.outputs or 1))
    optimiser = torch.optim.AdamW(net.parameters(), setting.lr, weight_decay=0.0)
    steps, step = setting.epochs * -(-len(x) // setting.batch), 0
    best = (float("inf"), float("inf"))
    for _ in range(setting.epochs):
        for rows in torch.randperm(len(x)).split(setting.batch):
            for group in optimiser.param_groups:
                group["lr"] = setting.lr * (1.0 if setting.early else 1 - step / steps)
            optimiser.zero_grad()
            output = net(x[rows])
            loss = (
                functional.cross_entropy(output, y[rows])
                if fold.outputs
                else functional.mse_loss(output[:, 0], y[rows])
            )
            loss.backward()
            optimiser.step()
            step += 1
        if setting.early:
            best = min(best, measured(net, x_val, y_val, x_test, y_test, fold))
    return best if setting.early else measured(net, x_val, y_val, x_test, y_test, fold)


def measured(
    net: nn.Module, x_val: Tensor, y_val: Tensor, x_test: Tensor, y_test: Tensor, fold: Fold
) -> tuple[float, float]:
    with torch.no_grad():
        val, test = net(x_val), net(x_test)
    if fold.outputs:
        brier = (val.softmax(1) - functional.one_hot(y_val, fold.outputs)).square().sum(1).mean()
        return float(brier.nan_to_num(2.0)), float((test.argmax(1) != y_test).float().mean())
    mse = (val[:, 0] - y_val).square().mean().nan_to_num(1e9)
    return float(mse), float((test[:, 0] - y_test).square().mean()) ** 0.5 * fold.scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("study", type=Path, help="the folder that `thinned study` wrote")
    parser.add_argument("data", type=Path)
    parser.add_argument("--target", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record = json.loads((arguments.study / "study.json").read_text())
    data = open_data(arguments.data, arguments.target, record["task"])
    size = sizes(data)
    folds = [prepared(data, parts(data, size, record["seed"], seed)).fold for seed in range(SEEDS)]
    start = time.perf_counter()
    found = []
    for number in range(SETTINGS):
        setting = drawn(number)
        results = [trained(setting, fold, seed) for seed, fold in enumerate(folds)]
        found.append((np.mean(results, axis=0), setting))
    (loss, error), setting = min(found, key=lambda item: float(item[0][0]))
    ours = [run for run in runs(arguments.study) if run["arm"] == "dropout" and run["p"] == 0 and run["seed"] < SEEDS]
    theirs, mine = float(error), float(np.mean([run["test_error"] for run in ours]))
    our_loss = np.mean([run["val_loss"] for run in ours])
    print(
        f"| {record['title']} | {mine:.4g} | {theirs:.4g} | {mine / theirs - 1:+.1%} | {our_loss:.4g} |"
        f" {float(loss):.4g} | {setting} | {time.perf_counter() - start:.0f} s |"
    )


def runs(study: Path) -> list[dict[str, Any]]:
    """The study's runs at their chosen learning rates."""
    import pandas as pd

    table = pd.read_csv(study / "runs.csv")
    return [{str(name): value for name, value in row.items()} for row in table[table["chosen_lr"]].to_dict("records")]


if __name__ == "__main__":
    main()
