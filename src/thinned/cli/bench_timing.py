"""What `thinned bench` measures: a copy, torch's dropout and ours on one tensor, by turns in one process."""

from __future__ import annotations

import csv
import io
import itertools
import math
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..replaced_file import replace_file

COPY, TORCH, OURS = "copy_", "torch.nn.Dropout", "thinned.nn.Dropout"
CONTENDERS = (COPY, TORCH, OURS)
FORWARD, BOTH = "forward", "forward+backward"
PASSES = (FORWARD, BOTH)
LEAST = 5  # turns, however little time there is
_SAMPLE = 2e-3  # seconds a turn at least: long against the clock's own cost, and against a cache that others left cold
_CACHES = 3  # times the cache of a GPU: what the inputs that take turns fill together, at least
_MOST = 256  # inputs that take turns

Call = Callable[[], object]
Timer = Callable[[Call, int], float]
Row = dict[str, str]


class MeasuringError(Exception):
    """A sentence about what can't be measured here."""


def measured(
    device: torch.device, dtypes: Sequence[torch.dtype], p: float, sizes: Sequence[int], seconds: float
) -> Iterator[list[Row]]:
    """The rows of all contenders, for one type, pass and size after another.

    Arguments:
        seconds: about how long the turns of one such group may take together.

    Raises:
        MeasuringError: there is no memory for a size, or the device fails.
    """
    for dtype, which, size in itertools.product(dtypes, PASSES, sizes):
        try:
            found = turns(calls(inputs((size,), dtype, device), p, which), seconds, partial(_each, device))
        except (RuntimeError, MemoryError) as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            raise MeasuringError(
                f"{which} of {size} elements of {dtype} can't be measured on {device}: {why} Choose others by --sizes."
            ) from error
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


def inputs(shape: Sequence[int], dtype: torch.dtype, device: torch.device, most: int = _MOST) -> list[Tensor]:
    """Random tensors; on a GPU so many, up to `most`, that none is still in its cache when its turn comes again."""
    count = 1
    if device.type == "cuda":
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        count = min(most, math.ceil(_CACHES * cache / (math.prod(shape) * dtype.itemsize)) + 1)
    return list(torch.randn(count, *shape, device=device, dtype=dtype).unbind())


def calls(x: list[Tensor], p: float, which: str) -> dict[str, Call]:
    """Every contender of a pass, by name."""
    from ..nn import Dropout

    buffer, layers = torch.empty_like(x[0]), {TORCH: torch.nn.Dropout(p), OURS: Dropout(p)}
    found: dict[str, Call] = {COPY: in_turn(buffer.copy_, x)}
    if which == FORWARD:
        return found | {name: in_turn(layer, x) for name, layer in layers.items()}
    leaves, incoming = [each.detach().requires_grad_() for each in x], torch.randn_like(x[0])

    def both(layer: torch.nn.Module) -> Callable[[Tensor], object]:
        return lambda leaf: torch.autograd.grad(layer(leaf), leaf, incoming)

    return found | {name: in_turn(both(layer), leaves) for name, layer in layers.items()}


def in_turn(call: Callable[[Tensor], object], x: Sequence[Tensor]) -> Call:
    """The call with one input after another."""
    cycle = itertools.cycle(x)
    return lambda: call(next(cycle))


def turns(calls: Mapping[str, Call], seconds: float, timer: Timer, sizing: Timer | None = None) -> dict[str, float]:
    """Median seconds a call, by name: turns in shuffled order, so that a busy spell falls on all, and none always runs
    on the caches of the same other.

    Arguments:
        calls: what is timed, by name. Each is called a few times first: what compiles, or touches memory for the first
            time, does so there.
        seconds: about how long all may take together; at least `LEAST` turns are made.
        timer: measures seconds a call, over so many calls.
        sizing: the same, for how many calls make a sample; by default `timer`.
    """
    loops = {name: _loops(call, sizing or timer) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    made, end = 0, time.perf_counter() + seconds
    while made < LEAST or time.perf_counter() < end:
        shuffle(order)
        for name in order:
            samples[name].append(timer(calls[name], loops[name]))
        made += 1
    return {name: statistics.median(found) for name, found in samples.items()}


def _loops(call: Call, timer: Timer) -> int:
    """How many calls make a sample."""
    shortest = min(timer(call, 1) for _ in range(3))
    return math.ceil(_SAMPLE / max(shortest, 1e-7))


def _each(device: torch.device, call: Call, loops: int) -> float:
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
    found = header(path)
    if found not in (None, list(rows[0])):
        raise ValueError(f"{path} has other columns. Got {', '.join(found) or 'none'}. Name another file by --csv.")
    write_rows(path, rows)


def header(path: Path) -> list[str] | None:
    """The columns of a CSV file; None where there is no file yet."""
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as stream:
        return next(csv.reader(stream), [])


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """The file with these rows behind its own; a new one, and what is no regular file, gets a header.

    Raises:
        OSError: as `replace_file`; or the file was changed meanwhile.
    """
    old = path.read_bytes() if path.is_file() else None
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    if old is None:
        writer.writeheader()
    writer.writerows(rows)
    whole = old + b"\n" if old and not old.endswith(b"\n") else old or b""
    replace_file(path, whole + text.getvalue().encode(), expected=old)


def processor() -> str:
    """What the processor calls itself."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
