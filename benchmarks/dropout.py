"""Dropout forward and backward against torch's own, a plain copy as the floor: medians of one run, side by side.

    python benchmarks/dropout.py [--threads 1] [--csv FILE]

Rows are appended to FILE, with versions. Quote ratios: machines are shared.
"""

from __future__ import annotations

import argparse
import csv
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import thinned
import thinned.nn

SIZES = (2**14, 2**16, 2**18, 2**20)
REPEATS = 15


def cases(x: Tensor, p: float) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    buffer, ones = torch.empty_like(x), torch.ones_like(x)
    layers = {"torch": torch.nn.Dropout(p), "thinned": thinned.nn.Dropout(p)}
    leaf = x.clone().requires_grad_()
    found: dict[str, Callable[[], object]] = {"copy": lambda: buffer.copy_(x)}
    for name, layer in layers.items():
        found[f"{name} forward"] = partial(layer, x)
        found[f"{name} forward+backward"] = partial(_both, layer, leaf, ones)
    return found


def _both(layer: torch.nn.Module, leaf: Tensor, ones: Tensor) -> object:
    return torch.autograd.grad(layer(leaf), leaf, ones)


def medians(timed: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds a call; the cases take turns, so that a busy spell falls on all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(REPEATS):
        for name, call in timed.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for p in (0.1, 0.5):
        for size in SIZES:
            found = medians(cases(torch.randn(size), p))
            for name, seconds in found.items():
                kind = name.partition(" ")[2]
                ratio = seconds / found[f"torch {kind}"] if kind else float("nan")
                print(f"p={p} {size:8d}  {name:26s}{1e9 * seconds / size:8.2f} ns/element  {ratio:6.2f} x torch")
                machine = (platform.machine(), options.threads, torch.__version__, thinned.__version__)
                rows.append((*machine, p, size, name, f"{1e9 * seconds / size:.3f}"))
    if options.csv:
        with options.csv.open("a", newline="") as stream:
            csv.writer(stream).writerows(rows)


if __name__ == "__main__":
    main()
