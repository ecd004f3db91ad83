"""What Python takes for a call on a GPU, measured on a machine without one: the launcher does nothing.

    python -m benchmarks.gpu_launch    # 20 seconds; appends its rows to benchmarks/results/gpu_launch.csv

The CPU stands in for the GPU: the same files run, up to the call that would hand the kernel to the driver.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import thinned.nn
from thinned.noise.kernel import OFF, Kernel
from thinned.ops import cpu, gpu
from thinned.ops.triton import launch, trust

from .harness import RESULTS, Call, machine, medians, record

FILE = RESULTS / "gpu_launch.csv"
MOST = 12.0  # microseconds of a forward call, meant for a machine that does nothing else
FORWARD = "thinned.nn.Dropout, forward"
ON_CPU = "thinned.nn.Dropout, forward, by the CPU's kernel"


class Nothing:
    """A kernel, compiled or not, whose launch does nothing."""

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return self._launch

    def _launch(self, *arguments: object, **options: object) -> Nothing:
        return self


@contextmanager
def launching_nothing() -> Iterator[None]:
    """Inside the `with`, the CPU is a GPU of the GPU backend."""
    device = torch.device("cpu")
    with (
        patch.object(cpu, "kernel", Kernel(OFF)),
        patch.object(cpu, "drop", gpu.drop),
        patch.object(trust, "DEVICES", {"cpu"}),
        patch.object(trust, "_reasons", {device: ""}),
        patch.object(gpu, "_plain_keys", set()),
        patch.object(gpu, "_learnt", set()),
        patch.object(gpu, "_ready", {}),
        patch.object(launch, "_FORMS", {"run": Nothing(), "axes": Nothing()}),
        patch.object(launch, "_compiled", {}),
    ):
        yield


def calls() -> dict[str, Call]:
    """What is timed, by name. The first is a part of each of the others that no backend can spare."""
    layer, x, leaf = thinned.nn.Dropout(0.1), torch.ones(1024), torch.ones(1024, requires_grad=True)
    incoming = torch.ones(1024)
    return {
        "torch.empty_like": lambda: torch.empty_like(x),
        "x * 0.9, forward+backward": lambda: torch.autograd.grad(leaf * 0.9, leaf, incoming),
        FORWARD: lambda: layer(x),
        "thinned.nn.Dropout, forward+backward": lambda: torch.autograd.grad(layer(leaf), leaf, incoming),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--csv", type=Path, default=FILE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    # The whole call of 1,024 values on the CPU, for comparison: it tells how busy the machine is.
    found = medians({ON_CPU: calls()[FORWARD]}, seconds=options.seconds / 5)
    with launching_nothing():
        found |= medians(calls(), seconds=options.seconds)
    start = machine()
    record(options.csv, [start | {"what": name, "us_per_call": f"{1e6 * each:.3g}"} for name, each in found.items()])
    for name, each in found.items():
        print(f"{name:50s}{1e6 * each:8.3g} us")
    print(f"goal: {FORWARD}, at most {MOST:g} us: {'met' if found[FORWARD] * 1e6 <= MOST else 'NOT met'}")


if __name__ == "__main__":
    main()
