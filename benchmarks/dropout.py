"""Dropout of one tensor: torch, torch.compile, NumPy, JAX and ours side by side, with a plain copy as the floor.

    python -m benchmarks.dropout           # about 15 minutes; appends its rows to benchmarks/results/cpu.csv
    python -m benchmarks.dropout --quick   # a first look in a minute or two, not kept

Then `python -m benchmarks.reach` says which goals are met, and `python -m benchmarks.page` brings
docs/design/performance.md up to date. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path

import torch

from thinned.noise.kernel import instruction_sets

from .contenders import BOTH, COPY, FORWARD, TORCH, calls, instruction_set, jax_absent
from .harness import RESULTS, Row, machine, medians, record

FILE = RESULTS / "cpu.csv"
ACTIVATION = (64, 512, 768)
ACTIVATION_SIZE = math.prod(ACTIVATION)
SIZES = (*(2**k for k in range(6, 25, 2)), ACTIVATION_SIZE, 2**25)
COMPILED_SIZES = (2**14, 2**18, 2**20, 2**24)
IN_CACHE = (2**16, 2**18)  # where the kernel is measured bare, on one thread
QUICK_SIZES = (2**6, 2**10, 2**16, 2**18, 2**24)


def group(threads: int, dtype: torch.dtype, p: float, size: int, which: str, seconds: float) -> list[Row]:
    """The rows of all contenders over one tensor."""
    torch.set_num_threads(threads)
    x = torch.randn(ACTIVATION if size == ACTIVATION_SIZE else (size,)).to(dtype)
    bare = threads == 1 and size in IN_CACHE
    timed = calls(x, p, which, compiled=size in COMPILED_SIZES, bare=bare)
    found = medians(timed, threads=threads, seconds=seconds)
    return [
        {
            "threads": str(threads),
            "dtype": str(dtype).removeprefix("torch."),
            "p": f"{p:g}",
            "elements": str(size),
            "what": name,
            "pass": which,
            "ns_per_element": f"{1e9 * each / size:.4g}",
            "ratio_to_copy": f"{each / found[COPY]:.4g}",
            "ratio_to_torch": f"{each / found[TORCH]:.4g}",
        }
        for name, each in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="fewer sizes, float32, less time; kept only where --csv says"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"))
    parser.add_argument("--p", type=float, nargs="+", default=[0.1, 0.5])
    parser.add_argument("--sizes", type=int, nargs="+", help="elements")
    parser.add_argument("--seconds", type=float, help="for each group of rows that are measured side by side, about")
    parser.add_argument("--csv", type=Path, help=f"where rows go; by default benchmarks/results/{FILE.name}")
    options = parser.parse_args()
    file = options.csv or (None if options.quick else FILE)
    dtypes = options.dtypes or (["float32"] if options.quick else ["float32", "bfloat16"])
    sizes = options.sizes or (QUICK_SIZES if options.quick else SIZES)
    seconds = options.seconds or (0.3 if options.quick else 2.0)
    start = machine()
    print(*start.values(), sep=", ")
    # One thread first: a pool that has run does not stand by while processor time is counted.
    for threads, dtype, p, size, which in itertools.product(options.threads, dtypes, options.p, sizes, (FORWARD, BOTH)):
        rows = group(threads, getattr(torch, dtype), p, size, which, seconds)
        sets = {instruction_set(name): name for name in instruction_sets}
        rows = [start | {"instruction_set": sets.get(row["what"], start["instruction_set"])} | row for row in rows]
        if file is not None:
            record(file, rows)
        print(f"\n{threads} thread(s), {dtype}, p = {p:g}, {size} elements, {which}")
        for row in rows:
            print(
                f"  {row['what']:30s}{row['ns_per_element']:>10s} ns/element"
                f"{row['ratio_to_copy']:>10s} x copy_{row['ratio_to_torch']:>12s} x torch"
            )
    for threads in options.threads:
        if reason := jax_absent(threads):
            print(f"\nJAX has no row for {threads} thread(s): {reason}")


if __name__ == "__main__":
    main()
