"""torch's functions that seed, read and set the generator of the process, for one thread alone.

A model's own code may seed, or put a state back: `torch.manual_seed`, `fork_rng`, and every activation checkpoint. In a
thread in `seeds_of` these functions work on the thread's private generator. For this they are replaced, as those of
`random` and NumPy are, by functions that ask which thread calls. A method of a generator itself is not seen, such as
`torch.default_generator.manual_seed`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from .replaced_functions import Replaced

_CPU = torch.device("cpu")
_this_thread = threading.local()


class SeedableNoise(Protocol):
    """What is asked of private noise."""

    def generator(self, device: torch.device) -> torch.Generator: ...
    def seed_torch(self, number: int) -> None: ...


def _seed_by(noise: SeedableNoise, number: int) -> torch.Generator:
    noise.seed_torch(int(number))
    return noise.generator(_CPU)


_PRIVATE: dict[str, Callable[..., Any]] = {
    "manual_seed": _seed_by,
    "seed": lambda noise: noise.generator(_CPU).seed(),
    "initial_seed": lambda noise: noise.generator(_CPU).initial_seed(),
    "get_rng_state": lambda noise: noise.generator(_CPU).get_state(),
    "set_rng_state": lambda noise, new_state: noise.generator(_CPU).set_state(new_state) and None,
}


def _asking(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    private = _PRIVATE[name]

    def call(*args: Any, **kwargs: Any) -> Any:
        noise = getattr(_this_thread, "noise", None)
        return original(*args, **kwargs) if noise is None else private(noise, *args, **kwargs)

    call.__name__ = name
    return call


_ASKING = {name: _asking(name, getattr(torch.random, name)) for name in _PRIVATE}
_REPLACED = Replaced(lambda _: None)


@contextmanager
def seeds_of(noise: SeedableNoise) -> Iterator[None]:
    """A context manager in which this thread's seeds and states are those of private noise."""
    before = getattr(_this_thread, "noise", None)
    try:
        _this_thread.noise = noise
        with _REPLACED.inside((), [(vars(home), *each) for home in (torch, torch.random) for each in _ASKING.items()]):
            yield
    finally:
        _this_thread.noise = before
