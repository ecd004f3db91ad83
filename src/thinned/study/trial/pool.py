"""Trials in processes of their own, one torch thread each: on two cores twice as fast as two threads in one process."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch

from .fold import Fold
from .config import Config, Recipe

T = TypeVar("T")
Work = Callable[[Config, Fold, Recipe], T]


class Pool:
    """Runs work on configurations, `jobs` at a time.

    With one job everything runs in this process. With more, processes are spawned, not forked: torch's threads and a
    fork do not mix. On an exception, Ctrl-C included, they are ended at once.

    Arguments:
        folds: the folder that holds `<seed>.npz` for every seed.
    """

    def __init__(self, folds: Path, recipe: Recipe, jobs: int) -> None:
        self.folds, self.recipe, self.jobs = folds, recipe, jobs
        self._executor: ProcessPoolExecutor | None = None
        self._before = set(multiprocessing.active_children())

    def __enter__(self) -> Pool:
        if self.jobs > 1:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.jobs, context, _ignore_interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._executor is not None:
            if kind is not None:
                for child in set(multiprocessing.active_children()) - self._before:
                    child.terminate()
            self._executor.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Work[T], configs: Sequence[Config]) -> Iterator[T]:
        """Results as they finish, in any order."""
        if self._executor is None:
            with one_thread():
                for config in configs:
                    yield _do(work, config, self.folds, self.recipe)
            return
        with _interrupts_ignored():  # inherited by the processes that the first call spawns
            waiting: set[Future[T]] = {
                self._executor.submit(_do, work, config, self.folds, self.recipe) for config in configs
            }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def _do(work: Work[T], config: Config, folds: Path, recipe: Recipe) -> T:
    torch.set_num_threads(1)
    return work(config, _fold(folds / f"{config.seed}.npz"), recipe)


@lru_cache(maxsize=2)
def _fold(path: Path) -> Fold:
    return Fold.load(path)


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread, so that sums are taken in the same order whatever the number of jobs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
