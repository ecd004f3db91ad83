"""What dropout costs in training: the share of a step's time, with torch's layers and with ours.

    python -m benchmarks.training    # about 4 minutes; appends its rows to benchmarks/results/training.csv

Three copies of one model that differ only in their dropout layers (torch's, ours, none) take steps in turn. The share
is 1 - t(none) / t(with), from the medians of many steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thinned.nn

from .harness import RESULTS, machine, medians, record

FILE = RESULTS / "training.csv"
Layer = Callable[[float], nn.Module]
NONE, TORCH, OURS = "none", "torch.nn.Dropout", "thinned.nn.Dropout"
LAYERS: dict[str, Layer] = {NONE: lambda p: nn.Identity(), TORCH: nn.Dropout, OURS: thinned.nn.Dropout}


def mlp(drop: Layer, batch: int = 128) -> tuple[nn.Module, Tensor, Tensor]:
    """784-1024-1024-10, p = 0.5 after each hidden activation."""
    hidden = [nn.Linear(784, 1024), nn.ReLU(), drop(0.5), nn.Linear(1024, 1024), nn.ReLU(), drop(0.5)]
    return nn.Sequential(*hidden, nn.Linear(1024, 10)), torch.randn(batch, 784), torch.randint(10, (batch,))


def cnn(drop: Layer, batch: int = 64) -> tuple[nn.Module, Tensor, Tensor]:
    """Four 3 x 3 convolutions on 3 x 32 x 32 pictures, p = 0.25 after each."""
    channels, stages = (3, 32, 32, 64, 64), []
    for stage in range(4):
        stages += [nn.Conv2d(channels[stage], channels[stage + 1], 3, padding=1), nn.ReLU(), drop(0.25)]
        stages += [nn.MaxPool2d(2)] if stage % 2 else []
    model = nn.Sequential(*stages, nn.Flatten(), nn.Linear(64 * 8 * 8, 10))
    return model, torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))


class Encoder(nn.Module):
    """A transformer's encoder layer, normalised first: p = 0.1 on both residual branches and inside the feed-forward
    one; none on attention."""

    def __init__(self, drop: Layer, width: int = 256, heads: int = 8, inner: int = 1024) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.drop = drop(0.1)
        hidden = [nn.Linear(width, inner), nn.ReLU(), drop(0.1), nn.Linear(inner, width), drop(0.1)]
        self.forward_branch = nn.Sequential(*hidden)

    def forward(self, x: Tensor) -> Tensor:
        normal = self.norms[0](x)
        x = x + self.drop(self.attention(normal, normal, normal, need_weights=False)[0])
        output: Tensor = x + self.forward_branch(self.norms[1](x))
        return output


def encoder(drop: Layer, batch: int = 16) -> tuple[nn.Module, Tensor, Tensor]:
    """Width 256, 8 heads, 128 steps, inner width 1024."""
    return Encoder(drop), torch.randn(batch, 128, 256), torch.randn(batch, 128, 256)


class LanguageModel(nn.Module):
    """Two LSTM layers; p = 0.5 after the embedding, each of them, and the projection before the words."""

    def __init__(self, drop: Layer, words: int = 2000, width: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Embedding(words, width), drop(0.5))
        self.layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(2))
        self.drops = nn.ModuleList(drop(0.5) for _ in range(2))
        self.words = nn.Sequential(nn.Linear(width, width), nn.ReLU(), drop(0.5), nn.Linear(width, words))

    def forward(self, text: Tensor) -> Tensor:
        x = self.embedding(text)
        for layer, drop in zip(self.layers, self.drops, strict=True):
            x = drop(layer(x)[0])
        scores: Tensor = self.words(x).flatten(0, 1)
        return scores


def language_model(drop: Layer, batch: int = 32) -> tuple[nn.Module, Tensor, Tensor]:
    """2 x 256, 64 steps, 2000 words."""
    return LanguageModel(drop), torch.randint(2000, (batch, 64)), torch.randint(2000, (batch * 64,))


MODELS = {"MLP": mlp, "CNN": cnn, "transformer layer": encoder, "LSTM language model": language_model}


def step(model: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, target: Tensor) -> None:
    optimiser.zero_grad()
    output = model(x)
    loss = F.mse_loss(output, target) if target.is_floating_point() else F.cross_entropy(output, target)
    loss.backward()
    optimiser.step()


def steps(name: str, batch: int | None) -> dict[str, Callable[[], None]]:
    """A training step of one model with each kind of dropout; they start from the same weights and data."""
    found: dict[str, Callable[[], None]] = {}
    for kind, layer in LAYERS.items():
        torch.manual_seed(0)
        model, x, target = MODELS[name](layer, **({} if batch is None else {"batch": batch}))
        found[kind] = partial(step, model, torch.optim.SGD(model.parameters(), lr=1e-3), x, target)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, help="instead of each model's own")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each model, about")
    parser.add_argument(
        "--csv", type=Path, default=FILE, help=f"where rows go; by default benchmarks/results/{FILE.name}"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start = machine()
    print(*start.values(), f"{options.threads} thread(s)", sep=", ")
    for name in options.models:
        found = medians(steps(name, options.batch), threads=options.threads, seconds=options.seconds)
        rows = [
            {
                **start,
                "threads": str(options.threads),
                "model": name,
                "dropout": kind,
                "ms_per_step": f"{1e3 * seconds:.4g}",
                "share": f"{1 - found[NONE] / seconds:.4f}",
            }
            for kind, seconds in found.items()
        ]
        record(options.csv, rows)
        for row in rows:
            share = "" if row["dropout"] == NONE else f"{float(row['share']):8.1%} of the step is dropout"
            print(f"{name:20s}  {row['dropout']:20s}{row['ms_per_step']:>8s} ms{share}")


if __name__ == "__main__":
    main()
