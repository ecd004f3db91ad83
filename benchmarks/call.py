"""What a call of a layer costs on small tensors, where Python's share is the larger part.

    python -m benchmarks.call    # a minute and a half; appends its rows to benchmarks/results/call.csv

float32, p = 0.1, one thread. A forward call beside `clone`, a forward and backward beside `x * 0.9`, and both beside
torch's dropout, in turns.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch

import thinned.nn

from .contenders import BOTH, CLONE, FORWARD, OURS, TORCH
from .harness import RESULTS, Call, Row, machine, medians, record

FILE = RESULTS / "call.csv"
SIZES = tuple(2**k for k in range(6, 19, 2))
PRODUCT = "x * 0.9"
# By pass: what ours is measured in, and the goal by size: so many of it at most.
UNITS = {FORWARD: CLONE, BOTH: PRODUCT}


def goal(which: str, size: int) -> float | None:
    """How many clones, or products, a call may take; None where there is no goal."""
    if which == BOTH:
        return 1.4
    if size <= 2**10:
        return 4.0
    return 3.0 if size <= 2**14 else None


def calls(size: int) -> dict[tuple[str, str], Call]:
    """What is timed, by name and pass."""
    ours, theirs = thinned.nn.Dropout(0.1), torch.nn.Dropout(0.1)
    x = torch.randn(size)
    leaf, incoming = x.clone().requires_grad_(), torch.randn(size)

    def both(layer: torch.nn.Module) -> object:
        return torch.autograd.grad(layer(leaf), leaf, incoming)

    return {
        (CLONE, FORWARD): x.clone,
        (TORCH, FORWARD): lambda: theirs(x),
        (OURS, FORWARD): lambda: ours(x),
        (PRODUCT, BOTH): lambda: torch.autograd.grad(leaf * 0.9, leaf, incoming),
        (TORCH, BOTH): partial(both, theirs),
        (OURS, BOTH): partial(both, ours),
    }


def rows(size: int, seconds: float) -> list[Row]:
    """The rows of one size, with our goal where there is one."""
    timed = calls(size)
    found = medians({f"{what}|{which}": call for (what, which), call in timed.items()}, seconds=seconds)
    result = []
    for what, which in timed:
        time = found[f"{what}|{which}"]
        most = goal(which, size) if what == OURS else None
        result.append(
            {
                "elements": str(size),
                "pass": which,
                "what": what,
                "us_per_call": f"{1e6 * time:.3g}",
                "ratio_to_unit": f"{time / found[f'{UNITS[which]}|{which}']:.3g}",
                "ratio_to_torch": f"{time / found[f'{TORCH}|{which}']:.3g}",
                "goal": "" if most is None else f"{most:g}",
            }
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0, help="for each size, about")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="elements")
    parser.add_argument("--csv", type=Path, default=FILE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = machine()
    for size in options.sizes:
        found = rows(size, options.seconds)
        record(options.csv, [start | row for row in found])
        for row in found:
            reached = row["goal"] and float(row["ratio_to_unit"]) <= float(row["goal"])
            met = f", goal {row['goal']}: {'met' if reached else 'NOT met'}" if row["goal"] else ""
            print(
                f"{size:8d} {row['pass']:17s}{row['what']:20s}{row['us_per_call']:>8s} us{row['ratio_to_unit']:>8s} of "
                f"{UNITS[row['pass']]}{row['ratio_to_torch']:>8s} of torch{met}"
            )


if __name__ == "__main__":
    main()
