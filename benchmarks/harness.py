"""How everything here is timed and kept: calls take turns in one process, medians, one CSV row a figure.

Machines are shared and their clocks drift, so what is to be compared is measured in one run, in turns: a busy spell
falls on all of it. Ratios within a run hold; nanoseconds of two runs need not.
"""

from __future__ import annotations

import csv
import datetime
import math
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from thinned.noise.kernel import kernel

RESULTS = Path(__file__).parent / "results"
LEAST = 5  # turns, however little time there is
_SAMPLE = 2e-3  # seconds a turn at least: long against the clock's own cost, and against a cache that others left cold

Call = Callable[[], object]
Timer = Callable[[Call, int], float]
Row = dict[str, str]


def medians(
    calls: Mapping[str, Call], *, seconds: float, threads: int = 1, each: Timer | None = None
) -> dict[str, float]:
    """Median seconds a call, by name.

    Arguments:
        calls: what is timed, by name. Each is called a few times first: what compiles, or touches memory for the first
            time, does so there.
        threads: of one thread the processor time is taken, the kernel's work on page faults included: other programs
            on the machine do not count, and a library that works on threads of its own is not measured for free. Of
            more threads the wall time.
        seconds: about how long all may take together; at least `LEAST` turns are made.
        each: measures seconds a call, over so many calls, instead of those clocks.
    """
    _settle()
    clock = time.process_time if threads == 1 else time.perf_counter
    timer = each or partial(_each, clock)
    loops = {name: _loops(call, each or partial(_each, time.perf_counter)) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    turns, end = 0, time.perf_counter() + seconds
    while turns < LEAST or time.perf_counter() < end:
        shuffle(order)  # so that none always runs on the caches of the same other
        for name in order:
            samples[name].append(timer(calls[name], loops[name]))
        turns += 1
    return {name: statistics.median(found) for name, found in samples.items()}


def _settle() -> None:
    """Free one large block, as any training process has done before long: glibc then keeps smaller ones, instead of
    giving them back and taking them, page fault by page fault, in every call."""
    torch.ones(31 * 2**18)


def _loops(call: Call, each: Timer) -> int:
    """How many calls make a sample."""
    shortest = min(each(call, 1) for _ in range(3))
    return math.ceil(_SAMPLE / max(shortest, 1e-7))


def _each(clock: Callable[[], float], call: Call, loops: int) -> float:
    """Seconds a call, over so many."""
    start = clock()
    for _ in range(loops):
        call()
    return (clock() - start) / loops


def machine() -> Row:
    """What every row of a run starts with; `date` (UTC) is the run's name."""
    return {
        "date": datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "cpu": _processor(),
        "instruction_set": kernel.instruction_set or "none",
        "torch": torch.__version__,
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def record(path: Path, rows: Sequence[Row]) -> None:
    """Append rows of equal columns; a new file gets a header.

    Raises:
        ValueError: the file has other columns.
    """
    columns = list(rows[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    if not new:
        with path.open(newline="") as stream:
            found = next(csv.reader(stream), [])
        if found != columns:
            raise ValueError(f"{path}: rows must have the columns {found}. Got {columns}. Name another file by --csv.")
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def last_run(path: Path) -> list[Row]:
    """The rows of the latest date; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    latest = max((row["date"] for row in rows), default="")
    return [row for row in rows if row["date"] == latest]
