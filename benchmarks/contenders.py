"""What is timed: one pass of dropout over one tensor, by each library that is here."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import thinned.nn
from thinned.noise import drop as drop_array
from thinned.noise import scale, threshold
from thinned.noise.kernel import DROP, TYPES, Kernel, instruction_sets
from thinned.ops import drop

from .harness import Call

FORWARD, BOTH = "forward", "forward+backward"
COPY, CLONE, TORCH, COMPILED = "copy_", "clone", "torch.nn.Dropout", "torch.compile"
OURS, IN_PLACE, OUT = "thinned.nn.Dropout", "thinned.nn.Dropout, in place", "thinned.ops.drop, out="
NUMPY, OURS_NUMPY, OURS_NUMPY_OUT = "NumPy mask", "thinned.noise.drop", "thinned.noise.drop, out="
JAX = "JAX"
ORDER = (COPY, CLONE, TORCH, COMPILED, JAX, NUMPY, OURS, IN_PLACE, OUT, OURS_NUMPY, OURS_NUMPY_OUT)  # on the page
Layer = Callable[[Tensor], Tensor]


def instruction_set(name: str) -> str:
    """The row of the bare kernel on one instruction set."""
    return f"kernel, {name}"


def calls(x: Tensor, p: float, which: str, *, compiled: bool, bare: bool) -> dict[str, Call]:
    """Every contender of a pass, by name. Each leaves its result where it made it; a fresh output is freed at once.

    Arguments:
        x: contiguous, on the CPU.
        which: `FORWARD`, without a graph, or `BOTH`: the gradient of a leaf for an incoming gradient that is there.
        compiled: whether `torch.compile` takes part, which costs seconds for every shape.
        bare: whether the kernel alone takes part, on each instruction set of this machine, into a warm buffer.
    """
    buffer = torch.empty_like(x)
    found: dict[str, Call] = {COPY: lambda: buffer.copy_(x), CLONE: x.clone}
    layers: dict[str, Layer] = {TORCH: torch.nn.Dropout(p), OURS: thinned.nn.Dropout(p)}
    if compiled:
        torch._dynamo.reset()  # every shape gets code of its own, as in a program that has only this one
        layers[COMPILED] = torch.compile(torch.nn.Dropout(p))
    if which == BOTH:
        leaf, incoming = x.clone().requires_grad_(), torch.randn_like(x)
        found |= {name: partial(_both, layer, leaf, incoming) for name, layer in layers.items()}
        return found | _jax(x, p, which)
    found |= {name: partial(layer, x) for name, layer in layers.items()}
    found[IN_PLACE] = partial(thinned.nn.Dropout(p, inplace=True), x.clone())
    out = torch.empty_like(x)
    found[OUT] = lambda: drop(x, p, out=out)
    if bare:
        found |= {instruction_set(name): partial(_bare, Kernel(name), x, buffer, p) for name in instruction_sets}
    if x.dtype == torch.float32:  # NumPy has no bfloat16 of its own
        array, result, keys = x.numpy(), np.empty_like(x.numpy()), itertools.count()
        rng, numbers = np.random.default_rng(0), np.float32
        found[NUMPY] = lambda: array * (rng.random(array.shape, numbers) >= p) / numbers(1 - p)
        found[OURS_NUMPY] = lambda: drop_array(array, p, key=next(keys), threads=torch.get_num_threads())
        found[OURS_NUMPY_OUT] = lambda: drop_array(
            array, p, key=next(keys), out=result, threads=torch.get_num_threads()
        )
    return found | _jax(x, p, which)


def _both(layer: Layer, leaf: Tensor, incoming: Tensor) -> object:
    return torch.autograd.grad(layer(leaf), leaf, incoming)


def _bare(kernel: Kernel, x: Tensor, out: Tensor, p: float) -> None:
    dtype, steps = TYPES[str(x.dtype).removeprefix("torch.")], x.stride()
    law = (threshold(p), scale(p), 0.0, 0.0)
    # A contiguous tensor's strides are those of its positions, too.
    memory = (out.data_ptr(), x.data_ptr(), 0, x.shape, steps, steps, steps)
    kernel.run(DROP, dtype, *memory, torch.get_num_threads(), 7, *law, steps, 0)


def jax_absent(threads: int) -> str:
    """Why JAX takes no part, or nothing. Its pool has as many threads as the process may use cores, whatever the work:
    held to fewer by the clock alone, it would be charged for threads that wait."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if importlib.util.find_spec("jax") is None:
        return "not installed: pip install jax"
    return (
        ""
        if cores == threads
        else f"not measured on {threads} of {cores} cores: taskset -c 0-{threads - 1} gives it so many"
    )


def _jax(x: Tensor, p: float, which: str) -> dict[str, Call]:
    """JAX with its default generator, jitted, a new key each call; nothing where `jax_absent` says why."""
    if jax_absent(torch.get_num_threads()):
        return {}
    jax = importlib.import_module("jax")
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # else every small call waits for another thread
    dtype = str(x.dtype).removeprefix("torch.")
    array, incoming = (jax.numpy.asarray(t.float().numpy(), dtype) for t in (x, torch.randn_like(x)))
    root, numbers = jax.random.key(0), itertools.count()

    def dropped(number: int, x: Any) -> object:
        keep = jax.random.bernoulli(jax.random.fold_in(root, number), 1 - p, array.shape)
        return jax.numpy.where(keep, x / (1 - p), jax.numpy.zeros((), dtype))

    def both(number: int, x: object, incoming: object) -> object:
        y, back = jax.vjp(partial(dropped, number), x)
        return y, back(incoming)

    if which == FORWARD:
        forward = jax.jit(dropped)
        return {JAX: lambda: jax.block_until_ready(forward(next(numbers), array))}
    step = jax.jit(both)
    return {JAX: lambda: jax.block_until_ready(step(next(numbers), array, incoming))}
