"""Units in processes of their own, one torch thread each: on two cores twice as fast as two threads in one process."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from .config import Recipe, Unit
from .fold import Fold
from .one_thread import one_thread

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
Folds = Path | Mapping[int, Fold]


@dataclass(frozen=True)
class Failed:
    """A unit that has no result, and why, in a line."""

    unit: SeedWork
    reason: str


class Spare(Protocol):
    """Work for processes that have no unit to run. Nobody waits for it before `Pool.finish`."""

    def take(self) -> tuple[Work[Any], Unit] | None:
        """The next piece; None where there is none now."""

    def give(self, unit: Unit, done: Any) -> None:
        """A piece's result, `Failed` included; None where its process was ended, so that it is to be taken again."""


class Pool:
    """Runs work on units, `jobs` at a time.

    With one job everything runs in this process. With more, processes are spawned, not forked: torch's threads and a
    fork do not mix. On an exception in the `with`, Ctrl-C included, they are ended at once. Where this process is
    killed, they end by themselves, and remove the folder.

    Arguments:
        folds: the folder that holds `<seed>.npz` for every seed; with one job and no deadline, perhaps the folds.
    """

    def __init__(self, folds: Folds, recipe: Recipe, jobs: int) -> None:
        self.folds, self.recipe, self.jobs = folds, recipe, jobs
        self._executor: ProcessPoolExecutor | None = None
        self._before = set(multiprocessing.active_children())
        self._beside: dict[Future[Any], tuple[Unit, Spare]] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(at_once=kind is not None)

    def restart(self) -> None:
        """End what is running, and wait for no result of it. The pool can be used again."""
        self._end(at_once=True)

    def map(
        self, work: AnyWork[U, T], units: Sequence[U], deadline: float | None = None, spare: Spare | None = None
    ) -> Iterator[tuple[U, T | Failed]]:
        """Each unit with its result, as they finish, in any order.

        At `deadline`, a time of `time.monotonic`, what is under way is ended, and the rest has no result. Processes
        that would wait for the last units do `spare` work, and go on with it behind this call.

        An exception in a unit is that unit's failure. Where a process is killed, what was under way is tried again, a
        unit at a time; one that loses its process again has failed.
        """
        if self.jobs == 1 and deadline is None:  # what may be ended has a process of its own
            with one_thread():
                for unit in units:
                    yield unit, _attempt(work, unit, self.folds, self.recipe)
            return
        open_units, suspects = list(units)[::-1], list[U]()
        running: dict[Future[T | Failed], U] = {}
        tried_again: set[U] = set()
        while open_units or suspects or running:
            if suspects and not running:
                unit = suspects.pop()
                tried_again.add(unit)
                running[self._submit(work, unit)] = unit
            busy = bool(suspects or tried_again & set(running.values()))
            while open_units and not busy and len(running) + len(self._beside) < self.jobs:
                unit = open_units.pop()
                running[self._submit(work, unit)] = unit
            if spare is not None and not busy and not open_units:
                self._fill(spare, self.jobs - len(running))
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            done = wait([*running, *self._beside], left, return_when=FIRST_COMPLETED).done
            if not done:
                self._end(at_once=True)
                return
            self._give(done)
            for future in [future for future in running if future.done()]:
                unit = running.pop(future)
                try:
                    result = future.result()
                except (BrokenProcessPool, CancelledError):
                    self._end(at_once=True)
                    if unit in tried_again:
                        yield unit, Failed(unit, "its process was ended from outside, twice: killed, or out of memory")
                    else:
                        suspects.append(unit)
                    continue
                yield unit, result

    def finish(self, spare: Spare) -> None:
        """Do all of `spare` that is left."""
        if self.jobs == 1:
            with one_thread():
                while (piece := spare.take()) is not None:
                    work, unit = piece
                    spare.give(unit, _attempt(work, unit, self.folds, self.recipe))
            return
        self._fill(spare, self.jobs)
        while self._beside:
            self._give(wait(self._beside, return_when=FIRST_COMPLETED).done)
            self._fill(spare, self.jobs)

    def _fill(self, spare: Spare, most: int) -> None:
        """Start pieces of `spare` until `most` of them run."""
        while len(self._beside) < most and (piece := spare.take()) is not None:
            work, unit = piece
            self._beside[self._submit(work, unit)] = unit, spare

    def _give(self, done: Set[Future[Any]]) -> None:
        """Hand over the pieces of spare work among what is done."""
        pieces = [(future, *self._beside.pop(future)) for future in done & self._beside.keys()]
        for future, unit, spare in pieces:
            try:
                result = future.result()
            except (BrokenProcessPool, CancelledError):
                self._end(at_once=True)
                result = None
            spare.give(unit, result)

    def _submit(self, work: AnyWork[U, T], unit: U) -> Future[T | Failed]:
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.jobs, context, _begin, (self.folds,))
        with _interrupts_ignored():  # inherited by the processes that the first calls spawn
            try:
                return self._executor.submit(_attempt, work, unit, self.folds, self.recipe)
            except BrokenProcessPool as error:  # killed between two units
                broken: Future[T | Failed] = Future()
                broken.set_exception(error)
                return broken

    def _end(self, at_once: bool) -> None:
        if self._executor is not None:
            executor, self._executor = self._executor, None
            if at_once:
                for child in set(multiprocessing.active_children()) - self._before:
                    child.terminate()
            executor.shutdown(wait=True, cancel_futures=True)
            self._give(set(self._beside))


def _attempt(work: AnyWork[U, T], unit: U, folds: Folds, recipe: Recipe) -> T | Failed:
    torch.set_num_threads(1)
    try:
        return work(unit, _of_seeds(folds, unit.seeds), recipe)
    except Exception as error:  # whatever it is, it is this unit's alone
        return Failed(unit, f"{type(error).__name__}: {error}".strip(": "))


_loaded: dict[Path, Fold] = {}


def _of_seeds(folds: Folds, seeds: Sequence[int]) -> dict[int, Fold]:
    """The seeds' folds. Those of the last unit are kept, since the next one often has the same."""
    if not isinstance(folds, Path):
        return {seed: folds[seed] for seed in seeds}
    paths = {seed: folds / f"{seed}.npz" for seed in seeds}
    for path in set(_loaded) - set(paths.values()):
        del _loaded[path]
    for path in paths.values():
        if path not in _loaded:
            _loaded[path] = Fold.load(path)
    return {seed: _loaded[path] for seed, path in paths.items()}


def _begin(folds: Folds) -> None:
    """In a new process: Ctrl-C is for the parent, and the process ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(folds,), name="thinned-end-with-parent", daemon=True).start()


def _end_with_parent(folds: Folds) -> None:
    """Wait for the end of the parent, in whatever way: the system closes the pipe, or the handle, that it held."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    if isinstance(folds, Path):
        shutil.rmtree(folds, ignore_errors=True)
    os._exit(1)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C goes to the whole process group; a process that is still importing would answer with a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
