"""What n = 50 Monte-Carlo samples cost: `thinned.predict` beside a plain loop, torch-uncertainty and Baal.

    python -m benchmarks.predict    # about 5 minutes; appends its rows to benchmarks/results/predict.csv

All give the mean and standard deviation over 50 samples of one batch's logits: the loop from 50 forward passes with
only the dropout layers in training mode, the two libraries by their own fastest way, which repeats the batch 50 times
in memory. `thinned.predict` gives quantiles as well, and its first look at the model is timed with the rest;
`thinned.Predictor` has looked before.

The libraries were measured at these versions, beside the torch that is here:

    pip install --no-deps --target build/bench torch-uncertainty==0.13.0 baal==2.1.0 structlog==22.3.0 tqdm einops \\
        seaborn h5py

One that can't be imported from there, or from the environment, is left out by name.
"""

from __future__ import annotations

import argparse
import copy
import sys
import warnings
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tests.zoo import imports
from torch import Tensor, nn

import thinned

from .harness import RESULTS, Call, machine, medians, record

FILE = RESULTS / "predict.csv"
SAMPLES = 50
LOOP, OURS, AGAIN = "loop of passes", "thinned.predict", "thinned.Predictor"
UNCERTAINTY, BAAL = "torch-uncertainty", "Baal"
BENCH = Path(__file__).parents[1] / "build" / "bench"


def mlp(*widths: int) -> nn.Module:
    """784-widths-10, p = 0.5 after each hidden activation."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((784, *widths)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def cnn() -> nn.Module:
    """Four 3 x 3 convolutions on 28 x 28 pictures, then p = 0.25, 128 units, p = 0.5 and 10 logits."""
    channels, stages = (1, 32, 32, 64, 64), []
    for stage in range(4):
        stages += [nn.Conv2d(channels[stage], channels[stage + 1], 3, padding=1), nn.ReLU()]
        stages += [nn.MaxPool2d(2)] if stage % 2 else []
    head = [nn.Dropout(0.25), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
    return nn.Sequential(*stages, nn.Flatten(), *head)


Model = Callable[[], nn.Module]
MODELS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "784-1024-10": (partial(mlp, 1024), (784,)),
    "784-512-512-10": (partial(mlp, 512, 512), (784,)),
    "784-1024-1024-10": (partial(mlp, 1024, 1024), (784,)),
    "CNN, dropout in its head": (cnn, (1, 28, 28)),
}


# Beyond it a batch repeated 50 times in memory, as the two libraries do, takes gigabytes.
LARGEST = {"CNN, dropout in its head": 16}


def loop(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """50 passes, one after another."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.no_grad():
        samples = torch.stack([model(x) for _ in range(SAMPLES)])
    return samples.mean(0), samples.std(0)


def uncertainty(model: nn.Module) -> Callable[[Tensor], object]:
    """torch-uncertainty's wrapper, which answers `(samples * rows, ...)`."""
    from torch_uncertainty.methods.mc_dropout import mc_dropout  # type: ignore[import-not-found]

    wrapped = mc_dropout(copy.deepcopy(model), num_estimators=SAMPLES, on_batch=True).eval()

    def call(x: Tensor) -> object:
        with torch.no_grad():
            samples = wrapped(x).unflatten(0, (SAMPLES, len(x)))
        return samples.mean(0), samples.std(0)

    return call


def baal(model: nn.Module) -> Callable[[Tensor], object]:
    """Baal's wrapper, which answers `(rows, ..., samples)`."""
    from baal.bayesian.dropout import MCDropoutModule  # type: ignore[import-not-found]
    from baal.modelwrapper import ModelWrapper, TrainingArgs  # type: ignore[import-not-found]

    settings = TrainingArgs(use_cuda=False, replicate_in_memory=True)
    wrapped = ModelWrapper(MCDropoutModule(copy.deepcopy(model)), settings)
    wrapped.eval()

    def call(x: Tensor) -> object:
        samples = wrapped.predict_on_batch(x, iterations=SAMPLES)
        return samples.mean(-1), samples.std(-1)

    return call


def calls(model: nn.Module, x: Tensor, absent: dict[str, str]) -> dict[str, Call]:
    """Every contender that is here; why the others are not goes into `absent`."""
    found: dict[str, Call] = {
        LOOP: partial(loop, copy.deepcopy(model), x),
        OURS: partial(thinned.predict, model, x, SAMPLES),
        AGAIN: partial(thinned.Predictor(model, SAMPLES), x),
    }
    makers: dict[str, Callable[[nn.Module], Callable[[Tensor], Any]]] = {UNCERTAINTY: uncertainty, BAAL: baal}
    for name, make in makers.items():
        try:
            found[name] = partial(make(model), x)
        except ImportError as error:
            absent[name] = str(error)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 16, 64, 256])
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="for each model, batch and number of threads, about"
    )
    parser.add_argument(
        "--csv", type=Path, default=FILE, help=f"where rows go; by default benchmarks/results/{FILE.name}"
    )
    options = parser.parse_args()
    imports.prepare()
    if BENCH.is_dir():
        sys.path.append(str(BENCH))
    warnings.filterwarnings("ignore", module=r"baal|torch_uncertainty|pydantic")
    start = machine()
    print(*start.values(), sep=", ")
    absent: dict[str, str] = {}
    for name in options.models:
        build, row = MODELS[name]
        for threads in options.threads:
            torch.set_num_threads(threads)
            for batch in options.batch:
                if batch > LARGEST.get(name, batch):
                    continue
                torch.manual_seed(0)
                contenders = calls(build(), torch.randn(batch, *row), absent)
                found = medians(contenders, threads=threads, seconds=options.seconds)
                rows = [
                    {
                        **start,
                        "threads": str(threads),
                        "model": name,
                        "batch": str(batch),
                        "what": what,
                        "ms": f"{1e3 * seconds:.4g}",
                        "faster_than_loop": f"{found[LOOP] / seconds:.3g}",
                    }
                    for what, seconds in found.items()
                ]
                record(options.csv, rows)
                for each in rows:
                    print(f"{name:26s}{threads} x {batch:<5d}{each['what']:20s}{each['ms']:>8s} ms", end="")
                    print(f"{each['faster_than_loop']:>8s} x")
    for name, why in absent.items():
        print(f"{name} takes no part: {why}")


if __name__ == "__main__":
    main()
