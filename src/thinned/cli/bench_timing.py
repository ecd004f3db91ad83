"""What `thinned bench` measures: a copy, torch's dropout and ours on one tensor, by turns in one process."""

from __future__ import annotations

import csv
import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

COPY, TORCH, OURS = "copy_", "torch.nn.Dropout", "thinned.nn.Dropout"
CONTENDERS = (COPY, TORCH, OURS)
FORWARD, BOTH = "forward", "forward+backward"
PASSES = (FORWARD, BOTH)
LEAST = 5  # turns, however little time there is
_SAMPLE = 2e-3  # seconds of a turn at least
_CACHES = 3  # times the cache of a GPU: what the inputs that take turns fill together, at least
_MOST = 256  # inputs that take turns

Call = Callable[[], object]
Row = dict[str, str]


def measured(
    device: torch.device, dtypes: Sequence[torch.dtype], p: float, sizes: Sequence[int], seconds: float
) -> Iterator[list[Row]]:
    """The rows of all contenders, for one type, pass and size after another.

    Arguments:
        seconds: about how long the turns of one such group may take together.
    """
    for dtype, which, size in itertools.product(dtypes, PASSES, sizes):
        found = medians(calls(inputs(size, dtype, device), p, which), device, seconds)
        yield [
            {
                "dtype": str(dtype).removeprefix("torch."),
                "p": f"{p:g}",
                "elements": str(size),
                "pass": which,
                "what": name,
                "ns_per_element": f"{1e9 * each / size:.4g}",
                "ratio_to_copy": f"{each / found[COPY]:.4g}",
                "ratio_to_torch": f"{each / found[TORCH]:.4g}",
            }
            for name, each in found.items()
        ]


def inputs(size: int, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """Random tensors; on a GPU so many that none is still in its cache when its turn comes again."""
    count = 1
    if device.type == "cuda":
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        count = min(_MOST, math.ceil(_CACHES * cache / (size * dtype.itemsize)) + 1)
    return list(torch.randn(count, size, device=device).to(dtype).unbind())


def calls(x: list[Tensor], p: float, which: str) -> dict[str, Call]:
    """Every contender of a pass, by name."""
    from ..nn import Dropout

    buffer, layers = torch.empty_like(x[0]), {TORCH: torch.nn.Dropout(p), OURS: Dropout(p)}
    found: dict[str, Call] = {COPY: _in_turn(buffer.copy_, x)}
    if which == FORWARD:
        return found | {name: _in_turn(layer, x) for name, layer in layers.items()}
    leaves, incoming = [each.detach().requires_grad_() for each in x], torch.randn_like(x[0])

    def both(layer: torch.nn.Module) -> Callable[[Tensor], object]:
        return lambda leaf: torch.autograd.grad(layer(leaf), leaf, incoming)

    return found | {name: _in_turn(both(layer), leaves) for name, layer in layers.items()}


def _in_turn(call: Callable[[Tensor], object], x: list[Tensor]) -> Call:
    turns = itertools.cycle(x)
    return lambda: call(next(turns))


def medians(calls: dict[str, Call], device: torch.device, seconds: float) -> dict[str, float]:
    """Median seconds a call, by name: turns in shuffled order, so that a busy spell falls on all."""
    loops = {name: _loops(call, device) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    turns, end = 0, time.perf_counter() + seconds
    while turns < LEAST or time.perf_counter() < end:
        shuffle(order)
        for name in order:
            samples[name].append(_each(calls[name], device, loops[name]))
        turns += 1
    return {name: statistics.median(samples[name]) for name in calls}


def _loops(call: Call, device: torch.device) -> int:
    """How many calls make a sample. The first calls compile, and touch memory for the first time."""
    shortest = min(_each(call, device, 1) for _ in range(3))
    return math.ceil(_SAMPLE / max(shortest, 1e-7))


def _each(call: Call, device: torch.device, loops: int) -> float:
    """Seconds a call, over so many, until the device has done the last."""
    _wait(device)
    start = time.perf_counter()
    for _ in range(loops):
        call()
    _wait(device)
    return (time.perf_counter() - start) / loops


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def append(path: Path, rows: Sequence[Row]) -> None:
    """Append rows to a CSV file; a new file gets a header.

    Raises:
        ValueError: the file has other columns.
    """
    columns = list(rows[0])
    new = not path.exists()
    if not new:
        with path.open(newline="") as stream:
            found = next(csv.reader(stream), [])
        if found != columns:
            raise ValueError(f"{path} has other columns. Got {', '.join(found) or 'none'}. Name another file by --csv.")
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)
