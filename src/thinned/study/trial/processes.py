"""Units in processes of their own, one torch thread each: on two cores twice as fast as two threads in one process."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from .config import Recipe
from .engine import AnyWork, Failed, SeedWork, attempt, failed_by
from .fold import Fold

T = TypeVar("T")
U = TypeVar("U", bound=SeedWork)
Folds = Path | Mapping[int, Fold]


class Processes:
    """An engine on this machine.

    Processes are spawned, not forked: torch's threads and a fork do not mix. Where this process is killed, they end by
    themselves, and remove the folder.

    Arguments:
        folds: the folder that holds `<seed>.npz` for every seed; with one job and no deadline, perhaps the folds.
    """

    losses: tuple[type[BaseException], ...] = (BrokenProcessPool, CancelledError)
    lost_together = True
    tries = 2

    def __init__(self, folds: Folds, recipe: Recipe, jobs: int) -> None:
        self.folds, self.recipe, self.jobs = folds, recipe, jobs
        self._executor: ProcessPoolExecutor | None = None
        self._before = set(multiprocessing.active_children())

    def submit(self, work: AnyWork[U, T], unit: U) -> Future[T | Failed]:
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.jobs, context, _begin, (self.folds,))
        with _interrupts_ignored():  # inherited by the processes that the first calls spawn
            try:
                return self._executor.submit(attempt_with, work, unit, self.folds, self.recipe)
            except BrokenProcessPool as error:  # killed between two units
                broken: Future[T | Failed] = Future()
                broken.set_exception(error)
                return broken

    def end(self, at_once: bool) -> None:
        if self._executor is None:
            return
        executor, self._executor = self._executor, None
        if at_once:
            for child in set(multiprocessing.active_children()) - self._before:
                child.terminate()
        executor.shutdown(wait=True, cancel_futures=True)


def attempt_with(work: AnyWork[U, T], unit: U, folds: Folds, recipe: Recipe) -> T | Failed:
    """`attempt`, with the folds of the unit's seeds among these."""
    try:
        own = _of_seeds(folds, unit.seeds)
    except Exception as error:  # a file of this unit's, and none of another's
        return failed_by(unit, error)
    return attempt(work, unit, own, recipe)


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
