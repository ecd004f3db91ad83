"""A model run with its noise on and all else off, for many samples of the same rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .rows import Layout, layout, together
from .sampler import Number, Overwritten, Sampler
from .sites import Live

Module = torch.nn.Module


class Runner:
    """A model, an example of its arguments, and its noise; `rows` of a batch are run for one sample or for many."""

    def __init__(self, model: Module, live: Live, output: Callable[[Any], Tensor], alike: bool) -> None:
        self.model, self.live, self._output = model, live, output
        self._layouts: dict[Number, Layout] = {}
        self.sampler = Sampler(model, live.spots, live.flipped, self._layouts, alike)
        self.by_python = any(place.kind == "random" for place in live.places)
        # Why samples run one by one, once that is known; what comes before the first noise may depend on such draws.
        self.why_loop = "random numbers of Python or NumPy" if self.by_python else ""
        self.remembers = not self.by_python
        _in_python(model, live)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The model in evaluation mode, with the owners of its noise told that they train."""
        modules = self.sampler.running.modules
        self.model.eval()
        for name in self.live.flipped:
            modules[name].training = True
        with torch.no_grad(), torch.compiler.set_stance("force_eager"), self.sampler.running.followed():
            yield

    def once(self, args: Any, kwargs: Any, key: Tensor) -> Tensor:
        """The output of the sample with this key."""
        self.sampler.begin(key)
        if self.by_python:
            random.seed(int(key))
            np.random.seed(int(key) % 2**32)  # noqa: NPY002  models draw from this one
        with self.sampler:
            result = self.model(*args, **kwargs)
        return self._output(result)

    def probe(self, args: Any, kwargs: Any, batch: int) -> None:
        """Find where rows lie at every noisy call, by two rows, by three, and by a change of the second."""
        shapes = []
        two = rows(args, kwargs, batch, [0, 0])
        for few in (two, rows(args, kwargs, batch, [0, 0, 0]), rows(*two, 2, [0, 1], altered=1)):
            seen: dict[Number, Tensor] = {}
            self.sampler.seen = seen
            self.once(*few, self.sampler.key)
            shapes.append(seen)
        self.sampler.seen = None
        first, three, other = shapes
        for number, x in first.items():
            if number not in three or number not in other:
                continue
            found = layout(x.shape, three[number].shape)
            if found is None:
                found = Layout()
            elif found.axis is not None and found.each > 1 and x.shape == other[number].shape:
                found = Layout(found.axis, found.each, together(found, x, other[number]))
            self._layouts[number] = found

    def samples(self, args: Any, kwargs: Any, keys: Tensor, first_row: int) -> Tensor:
        """The outputs `(len(keys), rows, ...)` of the samples with these keys."""
        self.sampler.first_row = first_row
        if self.remembers and not self.sampler.log:
            self.sampler.remember(lambda: self._once_recorded(args, kwargs))
        try:
            return self._samples(args, kwargs, keys)
        except Overwritten:
            self.remembers = False
            self.sampler.forget()
            return self._samples(args, kwargs, keys)

    def forget(self) -> None:
        """Other rows come: what was computed before the first noise is of no use."""
        self.sampler.forget()

    def _once_recorded(self, args: Any, kwargs: Any) -> None:
        with self.sampler:
            self.model(*args, **kwargs)

    def _samples(self, args: Any, kwargs: Any, keys: Tensor) -> Tensor:
        if not self.why_loop and len(keys) > 1:
            try:
                result: Tensor = torch.func.vmap(lambda key: self.once(args, kwargs, key), randomness="error")(keys)
                return result
            except Overwritten:
                raise
            except Exception as error:
                self.why_loop = f"{type(error).__name__}: {error}".splitlines()[0]
        return torch.stack([self.once(args, kwargs, key) for key in keys])


def _in_python(model: Module, live: Live) -> None:
    """Refuse places inside of TorchScript, whose calls nobody sees."""
    modules = dict(model.named_modules())
    for place in live.places:
        if isinstance(modules.get(place.module), torch.jit.ScriptModule):
            raise TypeError(
                f"`predict`: noise must be drawn in Python. Got {place.name!r}, which is TorchScript. Pass the model "
                "that was scripted, with its state_dict, or leave the place out by sites=..."
            )


def rows(args: Any, kwargs: Any, batch: int, picked: Any, altered: int | None = None) -> tuple[Any, Any]:
    """The arguments with only these rows of every tensor that has `batch` of them, one of them altered if asked."""

    def pick(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and value.shape[0] == batch:
            some = value[picked]
            if altered is not None:
                some = some.clone()
                some[altered] = 0.5 - some[altered] if some.is_floating_point() else some[altered].flip(-1) == 0
            return some
        if isinstance(value, dict):
            return type(value)({name: pick(inner) for name, inner in value.items()})
        if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
            return type(value)(pick(inner) for inner in value)
        return value

    return pick(args), pick(kwargs)
