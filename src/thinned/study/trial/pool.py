"""Units given to an engine, one after another: whatever happens to one of them, the others have their results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol, TypeVar

from .config import Recipe, Unit
from .engine import AnyWork, Engine, Failed, SeedWork, Work
from .one_thread import one_thread
from .processes import Folds, Processes, attempt_with

T = TypeVar("T")
U = TypeVar("U", bound=SeedWork)
OFTEN = {2: "twice"}


class Spare(Protocol):
    """Work for processes that have no unit to run. Nobody waits for it before `Pool.finish`."""

    def take(self) -> tuple[Work[Any], Unit] | None:
        """The next piece; None where there is none now."""

    def give(self, unit: Unit, done: Any) -> None:
        """A piece's result, `Failed` included; None where its process was ended, so that it is to be taken again."""


class Pool:
    """Runs work on units, `jobs` at a time.

    With one job and no engine everything runs in this process. On an exception in the `with`, Ctrl-C included, what
    runs elsewhere is ended at once.

    Arguments:
        folds: the folder that holds `<seed>.npz` for every seed; with one job and no deadline, perhaps the folds.
        engine: what runs units instead of `jobs` processes of this machine. It has the folds already.
    """

    def __init__(self, folds: Folds, recipe: Recipe, jobs: int, engine: Engine | None = None) -> None:
        self.folds, self.recipe = folds, recipe
        self._engine: Engine = Processes(folds, recipe, jobs) if engine is None else engine
        self._here = engine is None and jobs == 1
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
        unit at a time if the others were lost with it; one that loses its process again has failed.
        """
        if self._here and deadline is None:  # what may be ended has a process of its own
            with one_thread():
                for unit in units:
                    yield unit, attempt_with(work, unit, self.folds, self.recipe)
            return
        engine = self._engine
        open_units, suspects = list(units)[::-1], list[U]()
        running: dict[Future[T | Failed], U] = {}
        lost: Counter[U] = Counter()
        while open_units or suspects or running:
            if suspects and not running:
                unit = suspects.pop()
                running[engine.submit(work, unit)] = unit
            alone = engine.lost_together and any(lost[unit] for unit in running.values())
            busy = bool(suspects) or alone
            while open_units and not busy and len(running) + len(self._beside) < engine.jobs:
                unit = open_units.pop()
                running[engine.submit(work, unit)] = unit
            if spare is not None and not busy and not open_units:
                self._fill(spare, engine.jobs - len(running))
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
                except engine.losses:
                    self._after_a_loss()
                    lost[unit] += 1
                    if lost[unit] == engine.tries:
                        often = OFTEN.get(engine.tries, f"{engine.tries} times")
                        reason = f"its process was ended from outside, {often}: killed, or out of memory"
                        yield unit, Failed(unit, reason)
                    else:
                        (suspects if engine.lost_together else open_units).append(unit)
                    continue
                yield unit, result

    def finish(self, spare: Spare) -> None:
        """Do all of `spare` that is left."""
        if self._here:
            with one_thread():
                while (piece := spare.take()) is not None:
                    work, unit = piece
                    spare.give(unit, attempt_with(work, unit, self.folds, self.recipe))
            return
        self._fill(spare, self._engine.jobs)
        while self._beside:
            self._give(wait(self._beside, return_when=FIRST_COMPLETED).done)
            self._fill(spare, self._engine.jobs)

    def _fill(self, spare: Spare, most: int) -> None:
        """Start pieces of `spare` until `most` of them run."""
        while len(self._beside) < most and (piece := spare.take()) is not None:
            work, unit = piece
            self._beside[self._engine.submit(work, unit)] = unit, spare

    def _give(self, done: Set[Future[Any]]) -> None:
        """Hand over the pieces of spare work among what is done."""
        pieces = [(future, *self._beside.pop(future)) for future in done & self._beside.keys()]
        for future, unit, spare in pieces:
            try:
                result = future.result()
            except self._engine.losses:
                self._after_a_loss()
                result = None
            spare.give(unit, result)

    def _after_a_loss(self) -> None:
        if self._engine.lost_together:
            self._end(at_once=True)

    def _end(self, at_once: bool) -> None:
        self._engine.end(at_once)
        self._give(set(self._beside))
