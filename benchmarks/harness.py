"""How everything here is timed and kept: calls take turns in one process, medians, one CSV row a figure.

Machines are shared and their clocks drift, so what is to be compared is measured in one run, in turns: a busy spell
falls on all of it. Ratios within a run hold; nanoseconds of two runs need not.
"""

from __future__ import annotations

import csv
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from thinned.cli.bench_timing import Call, Row, Timer, header, processor, turns, write_rows
from thinned.noise.kernel import kernel

__all__ = ["RESULTS", "Call", "Row", "Timer", "last_run", "machine", "medians", "record"]

RESULTS = Path(__file__).parent / "results"


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
        seconds: about how long all may take together; at least five turns are made.
        each: measures seconds a call, over so many calls, instead of those clocks.
    """
    _settle()
    clock = time.process_time if threads == 1 else time.perf_counter
    return turns(calls, seconds, each or partial(_each, clock), sizing=each or partial(_each, time.perf_counter))


def _settle() -> None:
    """Free one large block, as any training process has done before long: glibc then keeps smaller ones, instead of
    giving them back and taking them, page fault by page fault, in every call."""
    torch.ones(31 * 2**18)


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
        "cpu": processor(),
        "instruction_set": kernel.instruction_set or "none",
        "torch": torch.__version__,
    }


def record(path: Path, rows: Sequence[Row]) -> None:
    """Append rows of equal columns; a new file gets a header.

    Raises:
        ValueError: the file has other columns.
    """
    columns, found = list(rows[0]), header(path)
    if found is not None and found != columns:
        raise ValueError(f"{path}: rows must have the columns {found}. Got {columns}. Name another file by --csv.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, rows)


def last_run(path: Path) -> list[Row]:
    """The rows of the latest date; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    latest = max((row["date"] for row in rows), default="")
    return [row for row in rows if row["date"] == latest]
