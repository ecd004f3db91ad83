"""Dropout of one tensor on a GPU: torch, torch.compile and ours side by side, with a plain copy as the floor.

    python -m benchmarks.gpu           # about 3 minutes; appends its rows to benchmarks/results/gpu.csv
    python -m benchmarks.gpu --quick   # a first look in a few seconds, not kept

The rows on record are the eager backend's, torch's integer arithmetic, from before there were kernels for a GPU: those
will be held to them, and to torch's. `python -m benchmarks.page` brings docs/design/performance.md up to date.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import thinned.nn
from thinned.cli.bench_timing import in_turn, inputs

from .contenders import BOTH, CLONE, COMPILED, COPY, FORWARD, OURS, TORCH, Layer
from .dropout import ACTIVATION, ACTIVATION_SIZE
from .harness import RESULTS, Call, Row, machine, medians, record

FILE = RESULTS / "gpu.csv"
SIZES = (*(2**k for k in range(10, 25, 2)), ACTIVATION_SIZE, 2**26, 2**28)
COMPILED_SIZES = (2**20, ACTIVATION_SIZE, 2**28)
QUICK_SIZES = (2**10, 2**20, ACTIVATION_SIZE)
DEVICE = "cuda"
MOST = 1024  # inputs that take turns. Below 2^16 elements a call waits for Python and the driver, whatever is cached


def calls(x: list[Tensor], p: float, which: str, *, compiled: bool) -> dict[str, Call]:
    """Every contender of a pass, by name; a fresh output is freed at once. Arguments as in `contenders.calls`, but for
    the inputs, which each takes in turn."""
    buffer = torch.empty_like(x[0])
    found: dict[str, Call] = {COPY: in_turn(buffer.copy_, x), CLONE: in_turn(torch.clone, x)}
    layers: dict[str, Layer] = {TORCH: torch.nn.Dropout(p), OURS: thinned.nn.Dropout(p)}
    if compiled:
        torch._dynamo.reset()  # every shape gets code of its own, as in a program that has only this one
        layers[COMPILED] = torch.compile(torch.nn.Dropout(p))
    if which == FORWARD:
        return found | {name: in_turn(layer, x) for name, layer in layers.items()}
    leaves, incoming = [each.detach().requires_grad_() for each in x], torch.randn_like(x[0])
    return found | {name: in_turn(partial(_both, layer, incoming), leaves) for name, layer in layers.items()}


def _both(layer: Layer, incoming: Tensor, leaf: Tensor) -> object:
    return torch.autograd.grad(layer(leaf), leaf, incoming)


def each(call: Call, loops: int) -> float:
    """Seconds a call, over so many: from the card's reaching the first to its having done the last."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(loops):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / loops


def group(dtype: torch.dtype, p: float, size: int, which: str, seconds: float, compiled: bool) -> list[Row]:
    """The rows of all contenders over tensors of one size."""
    shape = ACTIVATION if size == ACTIVATION_SIZE else (size,)
    timed = calls(inputs(shape, dtype, torch.device(DEVICE), MOST), p, which, compiled=compiled)
    found = medians(timed, seconds=seconds, each=each)
    return [
        {
            "dtype": str(dtype).removeprefix("torch."),
            "p": f"{p:g}",
            "elements": str(size),
            "what": name,
            "pass": which,
            "ns_per_element": f"{1e9 * time / size:.4g}",
            "ratio_to_copy": f"{time / found[COPY]:.4g}",
            "ratio_to_torch": f"{time / found[TORCH]:.4g}",
        }
        for name, time in found.items()
    ]


def card() -> Row:
    """What every row of a run starts with."""
    host = machine()
    return {"date": host["date"], "gpu": torch.cuda.get_device_name(DEVICE), "cpu": host["cpu"], "torch": host["torch"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="fewer sizes, less time, no torch.compile; kept only where --csv says"
    )
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--p", type=float, nargs="+", default=[0.1, 0.5])
    parser.add_argument("--sizes", type=int, nargs="+", help="elements")
    parser.add_argument("--seconds", type=float, help="for each group of rows that are measured side by side, about")
    parser.add_argument("--csv", type=Path, help=f"where rows go; by default benchmarks/results/{FILE.name}")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(
            "benchmarks.gpu: needs an NVIDIA GPU. Got torch.cuda.is_available() = False from torch "
            f"{torch.__version__}. On a machine without one: python -m benchmarks.dropout"
        )
    file = options.csv or (None if options.quick else FILE)
    sizes = options.sizes or (QUICK_SIZES if options.quick else SIZES)
    seconds = options.seconds or (0.1 if options.quick else 0.5)
    start = card()
    print(*start.values(), sep=", ")
    for dtype, p, size, which in itertools.product(options.dtypes, options.p, sizes, (FORWARD, BOTH)):
        compiled = size in COMPILED_SIZES and not options.quick
        rows = [start | row for row in group(getattr(torch, dtype), p, size, which, seconds, compiled)]
        if file is not None:
            record(file, rows)
        print(f"\n{dtype}, p = {p:g}, {size} elements, {which}")
        for row in rows:
            print(
                f"  {row['what']:20s}{row['ns_per_element']:>10s} ns/element"
                f"{row['ratio_to_copy']:>10s} x copy_{row['ratio_to_torch']:>12s} x torch",
                flush=True,
            )


if __name__ == "__main__":
    main()
