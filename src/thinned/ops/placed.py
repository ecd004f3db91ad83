"""A key that knows which part of a batch its tensor is, and the source of keys for calls that have none.

Streams (`thinned.nn.stream`) hand such keys to the operators; the operators know nothing else of streams.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..noise import Part, Rows, locate

Parts = tuple[Part | Rows, ...]
Location = tuple[int | Tensor, Sequence[int] | None, Sequence[int] | None, Sequence[int] | None]


class Placed(NamedTuple):
    """A key, as a number or a 0-dim int64 tensor, and the parts of a batch, the outermost first, that its tensor is."""

    key: int | Tensor
    parts: Parts = ()

    def located(self, shape: Sequence[int], batch_dim: int | None, *given: Sequence[int] | None) -> Location:
        """The key, and `place`'s `offset`, `step` and `global_shape` for a tensor of this shape: the given, if any."""
        if not self.parts or batch_dim is None or any(given):
            offset, step, global_shape = given
            return self.key, offset, step, global_shape
        found = locate if torch.compiler.is_compiling() else _located
        return self.key, *found(shape, self.parts, batch_dim)


_located = lru_cache(maxsize=1024)(locate)  # a model's calls are few and alike


class KeySource(Protocol):
    """Has a key for a call on this input."""

    def draw(self, input: Tensor) -> Placed: ...


class _Sources:
    """The sources of the streams that one thread has entered and not left."""

    def __init__(self) -> None:
        self.entered: list[KeySource | None] = []
        self.innermost: KeySource | None = None  # the last of them. None: keys come from torch's generator
        # Python did not start this thread. Autograd runs a GPU's backward pass in such a thread, where a checkpoint
        # repeats calls of a thread that is not known: the latest source of all threads is taken.
        self.foreign = isinstance(threading.current_thread(), threading._DummyThread)


class _ThisThread(threading.local):
    def __init__(self) -> None:
        self.sources = _Sources()


_this_thread = _ThisThread()
_of_all_threads: list[KeySource | None] = []


def source() -> KeySource | None:
    """The source of keys for calls that belong to no module and have no key, in this thread."""
    own = _this_thread.sources
    if own.foreign and own.innermost is None and _of_all_threads:
        return _of_all_threads[-1]
    return own.innermost


def enter(source: KeySource | None) -> Callable[[], None]:
    """Make this the thread's source; None is torch's generator. Returns what takes it back, from any thread."""
    own = _this_thread.sources
    _of_all_threads.append(source)
    own.entered.append(source)
    own.innermost = source

    def leave() -> None:
        for entered in (_of_all_threads, own.entered):
            del entered[max(number for number, other in enumerate(entered) if other is source)]
        own.innermost = own.entered[-1] if own.entered else None

    return leave


@contextmanager
def outside_streams() -> Iterator[None]:
    """Calls that belong to no module draw from torch's generator, whichever stream is active."""
    leave = enter(None)
    try:
        yield
    finally:
        leave()
