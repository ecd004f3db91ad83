"""Noise in a forward pass, counted in other ways than `thinned.inspect` has: hooks, a patched function, dispatch."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

MASKS = {"bernoulli", "bernoulli_", "native_dropout"}
RANDOM = MASKS | {"rand", "rand_like", "uniform_", "randn", "randn_like", "normal_", "multinomial"}
DROPOUTS = (torch.nn.modules.dropout._DropoutNd,)
PATHS = ("DropPath", "StochasticDepth", "DropBlock2d", "PatchDropout")


@dataclass
class Count:
    """What one forward pass did."""

    operators: Counter[str] = field(default_factory=Counter)  # random operators, by name
    modules: Counter[str] = field(default_factory=Counter)  # runs of dropout modules with a p above 0, by name
    attention: int = 0  # calls of fused attention with a dropout_p above 0


class Operators(TorchDispatchMode):
    def __init__(self, seen: Counter[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in RANDOM:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def drop_probability(module: torch.nn.Module) -> float:
    """p of torch's dropouts and of everybody's for paths, blocks and patches; 0 for other modules."""
    if isinstance(module, DROPOUTS):
        return module.p
    if type(module).__name__.endswith(PATHS):
        p = next((getattr(module, name) for name in ("drop_prob", "p", "prob") if hasattr(module, name)), None)
        return float(p or 0.0)
    return 0.0


@contextmanager
def attention_counted(count: Count) -> Iterator[None]:
    """Fused attention, replaced by one that counts."""
    real = F.scaled_dot_product_attention

    def counting(*args: Any, **kwargs: Any) -> Any:
        count.attention += bool(kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0))
        return real(*args, **kwargs)

    F.scaled_dot_product_attention = counting
    try:
        yield
    finally:
        F.scaled_dot_product_attention = real


def counted(model: torch.nn.Module, args: Any, kwargs: Any, training: bool, seed: int) -> Count:
    """One forward pass in this mode from this seed, counted. The model's buffers change as in any pass."""
    count = Count()
    hooks = []

    def watch(name: str, module: torch.nn.Module) -> None:
        def note(*_: Any) -> None:
            count.modules[name] += 1

        hooks.append(module.register_forward_hook(note))

    for name, module in model.named_modules():
        if drop_probability(module) > 0:
            watch(name, module)
    seeded(seed)
    try:
        with torch.no_grad(), attention_counted(count), Operators(count.operators):
            model.train(training)(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    return count


def seeded(seed: int) -> None:
    """Every generator that a model may draw from."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what transformers draw from)
    random.seed(seed)
