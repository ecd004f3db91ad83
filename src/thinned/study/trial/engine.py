"""What runs trials elsewhere: processes of this machine, or a cluster. `Pool` decides what runs when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from .config import Recipe, Unit
from .fold import Fold

T = TypeVar("T")


class SeedWork(Protocol):
    """What one piece of work is on: it has a name, and seeds whose folds it needs. A `Unit`, or a chapter's trial."""

    @property
    def name(self) -> str: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...


U = TypeVar("U", bound=SeedWork)
Work = Callable[[Unit, Mapping[int, Fold], Recipe], T]
AnyWork = Callable[[U, Mapping[int, Fold], Recipe], T]


@dataclass(frozen=True)
class Failed:
    """A unit that has no result, and why, in a line."""

    unit: SeedWork
    reason: str


class Engine(Protocol):
    """Runs units, `jobs` of them at a time.

    `losses` are what a future raises whose process is gone. Where `lost_together`, one lost process takes the other
    units along, and which of them was at fault shows only where each runs alone. A unit that was lost `tries` times has
    failed.
    """

    jobs: int
    losses: tuple[type[BaseException], ...]
    lost_together: bool
    tries: int

    def submit(self, work: AnyWork[U, T], unit: U) -> Future[T | Failed]:
        """Begin, and wait for nothing."""

    def end(self, at_once: bool) -> None:
        """Let go of all processes: when they are done, or at once, with what they do."""


def attempt(work: AnyWork[U, T], unit: U, folds: Mapping[int, Fold], recipe: Recipe) -> T | Failed:
    """Work on a unit, in the process where it is done. An exception is this unit's failure alone, whatever it is."""
    torch.set_num_threads(1)
    try:
        return work(unit, folds, recipe)
    except Exception as error:
        return failed_by(unit, error)


def failed_by(unit: SeedWork, error: Any) -> Failed:
    """The failure that an exception is."""
    return Failed(unit, f"{type(error).__name__}: {error}".strip(": "))
