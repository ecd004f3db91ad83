"""Dropout in JAX on the CPU: ours, jnp alone, `jax.random.bernoulli` with a select, and the torch kernel beside them.

    taskset -c 0 python -m benchmarks.jax_dropout   # in .venv-backends; writes benchmarks/results/jax.csv

On one core: on a machine that does other things too, threads wait for each other. docs/guides/jax.md has the figures.
The file holds the page's run alone and is written anew; every row names the machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import torch

import thinned.interop.jax as tj
import thinned.nn.functional as F
from thinned.interop.jax.primitive import plain
from thinned.noise import scale, threshold

from .harness import RESULTS, Row, machine, record

FILE = RESULTS / "jax.csv"
SIZES = (2**14, 2**16, 2**18, 2**20, 2**22, 2**24)
P = 0.3


def by_integers(x: Any, key: Any) -> Any:
    """Ours as on a device without the kernel."""
    law = jnp.array([scale(P), 0, 0], jnp.float32)
    base = jnp.zeros(2, jnp.uint32)
    return plain(x, key, base, jnp.uint32(threshold(P)), law, strides=(1,), origin=True)


def by_random(x: Any, key: Any) -> Any:
    """As Flax and Equinox do it."""
    return jnp.where(jax.random.bernoulli(key, 1 - P, x.shape), x / (1 - P), 0)


def seconds(calls: dict[str, Callable[[], object]], budget: float) -> dict[str, float]:
    """The shortest of each, taken in turns: what else the machine does makes calls longer, never shorter."""
    for call in calls.values():
        call()
        call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + budget
    while time.perf_counter() < end or min(map(len, found.values())) < 7:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            found[name].append(time.perf_counter() - start)
    return {name: min(times) for name, times in found.items()}


def _finished(call: Callable[[Any], Any], x: Any) -> object:
    return call(x).block_until_ready()


def _total(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x).sum()


def calls(size: int, which: str) -> dict[str, Callable[[], object]]:
    """Each contender over one float32 array."""
    x, tensor, key = jnp.ones(size), torch.ones(size), jax.random.key(7)
    words = jax.random.key_data(key)
    functions = {
        "ours": (lambda x: tj.dropout(x, P, key)),
        "ours, jnp": (lambda x: by_integers(x, words)),
        "jax.random": (lambda x: by_random(x, key)),
    }
    timed: dict[str, Callable[[], object]] = {}
    for name, function in functions.items():
        whole = jax.jit(function if which == "forward" else jax.grad(_total(function)))
        timed[name] = partial(_finished, whole, x)
    if which == "forward":
        timed["torch kernel"] = lambda: F.dropout(tensor, P, key=7)
    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each size")
    budget = parser.parse_args().seconds
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    rows: list[Row] = []
    run = machine() | {"jax": jax.__version__, "threads": str(threads)}
    for size in SIZES:
        for which in ("forward", "gradient"):
            found = seconds(calls(size, which), budget)
            for name, each in found.items():
                row = {
                    "elements": str(size),
                    "pass": which,
                    "what": name,
                    "microseconds": f"{1e6 * each:.4g}",
                    "ratio_to_torch_kernel": f"{each / found['torch kernel']:.3g}" if "torch kernel" in found else "",
                    "ratio_to_jax_random": f"{each / found['jax.random']:.3g}",
                }
                rows.append(run | row)
                print(*row.values())
    FILE.unlink(missing_ok=True)
    record(FILE, rows)


if __name__ == "__main__":
    main()
