"""A key together with the part of the batch that a tensor holds, and the source of such keys for calls without a key.

Streams (`thinned.nn.stream`) give these keys to the operators. The operators know nothing else about streams.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .._torch import current_graph_task
from ..noise import Part, Rows, locate

Parts = tuple[Part | Rows, ...]
Location = tuple[int | Tensor, Sequence[int] | None, Sequence[int] | None, Sequence[int] | None]


class Placed(NamedTuple):
    """A key, and the part of the whole batch that the input holds.

    Example: `Placed(7, (Part(1, 4),))` says that the input is the second of four equal parts of the batch. Its mask is
    then the one that these rows have in a call on the whole batch with key 7.
    """

    key: int | Tensor  # a number, or a 0-dim int64 tensor
    parts: Parts = ()  # nested parts, the outermost first; () is the whole batch

    def located(self, shape: Sequence[int], batch_dim: int | None, *given: Sequence[int] | None) -> Location:
        """The key, and `offset`, `step` and `global_shape` for `place`.

        They are computed from the parts, for a tensor of this shape. If the caller has given one of them, the given
        values are returned.
        """
        if not self.parts or batch_dim is None or any(given):
            offset, step, global_shape = given
            return self.key, offset, step, global_shape
        found = locate if torch.compiler.is_compiling() else _located
        return self.key, *found(shape, self.parts, batch_dim)


_located = lru_cache(maxsize=1024)(locate)  # a model makes the same few calls at every step


class KeySource(Protocol):
    """An object that gives a key to a call on this input: the site of a stream, for instance."""

    def draw(self, input: Tensor) -> Placed: ...
    def repeats(self) -> bool:
        """Whether what autograd repeats now was made with keys of this source's stream."""


class _Entered:
    """One entry of a source: the same source may be entered several times."""

    def __init__(self, source: KeySource | None) -> None:
        self.source = source


class _Sources:
    """The key sources of the streams that one thread has entered and not left yet."""

    def __init__(self) -> None:
        self.entered: list[_Entered] = []
        self.innermost: KeySource | None = None  # the last entered. None: keys come from torch's generator
        # Whether the thread was started outside of Python. In such a thread autograd runs the backward pass on a GPU,
        # and a checkpoint repeats calls there, which another thread has made first.
        self.foreign = isinstance(threading.current_thread(), threading._DummyThread)


class _ThisThread(threading.local):
    """Gives each thread its own `_Sources`."""

    def __init__(self) -> None:
        self.sources = _Sources()


_this_thread = _ThisThread()
_of_all_threads: list[_Entered] = []  # of every thread, the latest last


def source() -> KeySource | None:
    """The source of keys, in this thread, for calls that are outside of any module and have no key of their own."""
    own = _this_thread.sources
    if own.foreign and own.innermost is None and _of_all_threads and current_graph_task() >= 0:
        latest = [entered.source for entered in _of_all_threads[::-1]]
        return next((each for each in latest if each is not None and each.repeats()), latest[0])
    return own.innermost


def enter(source: KeySource | None) -> Callable[[], None]:
    """Make this the source of keys of the thread; None is torch's generator.

    Returns:
        A function that undoes this. It may be called from any thread.
    """
    own = _this_thread.sources
    entered = _Entered(source)

    def leave() -> None:
        for entries in (_of_all_threads, own.entered):
            entries[:] = [other for other in entries if other is not entered]
        own.innermost = own.entered[-1].source if own.entered else None

    try:
        _of_all_threads.append(entered)
        own.entered.append(entered)
        own.innermost = source
        return leave
    except BaseException:
        leave()
        raise


@contextmanager
def outside_streams() -> Iterator[None]:
    """Inside the `with`, calls outside of any module draw keys from torch's generator, also in an active stream."""
    leave = enter(None)
    try:
        yield
    finally:
        leave()
