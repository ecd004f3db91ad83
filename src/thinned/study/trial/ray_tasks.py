"""Units as tasks of a Ray cluster: the data put once in its object store, each unit a fraction of a node."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any, TypeVar, cast

from ..error import StudyError
from .config import Recipe
from .engine import AnyWork, Failed, SeedWork, attempt
from .fold import Fold

T = TypeVar("T")
U = TypeVar("U", bound=SeedWork)
AT_A_TIME = 1_024  # units that wait in Ray, which begins as many as the cluster has room for
SAME = ("thinned", "torch", "numpy", "scikit-learn")  # packages that decide numbers


class LostTaskError(Exception):
    """A task's process or its node is gone."""


class RayTasks:
    """An engine on the cluster that Ray is connected to.

    What is lost with a node is run again on another: Ray's own retries are off, since it would try without end where
    memory runs out.

    Arguments:
        cpus, gpus: of each unit, for Ray's bookkeeping: fractions of one, or whole ones.
    """

    jobs = AT_A_TIME
    losses: tuple[type[BaseException], ...] = (LostTaskError, CancelledError)
    lost_together = False
    tries = 3

    def __init__(self, folds: Mapping[int, Fold], recipe: Recipe, cpus: float, gpus: float) -> None:
        import ray  # late: an extra

        self._ray: Any = ray
        self._task = ray.remote(_task).options(num_cpus=cpus, num_gpus=gpus, max_retries=0, name="thinned trial")
        self._recipe, self._versions = recipe, _versions()
        self._folds = {seed: ray.put(pickle.dumps(fold)) for seed, fold in folds.items()}
        self._open: dict[Future[Any], Any] = {}

    def submit(self, work: AnyWork[U, T], unit: U) -> Future[T | Failed]:
        folds = [self._folds[seed] for seed in unit.seeds]
        task = self._task.remote(pickle.dumps((work, unit, self._recipe)), self._versions, *folds)
        found: Future[T | Failed] = Future()
        self._open[found] = task

        def take(done: Future[bytes]) -> None:
            """In a thread of Ray's: whatever happens, `found` gets an end."""
            self._open.pop(found, None)
            with suppress(InvalidStateError):  # it was given up in the meantime
                try:
                    with self._losses_told(unit):
                        found.set_result(pickle.loads(done.result()))
                except Exception as error:
                    found.set_exception(error)

        task.future().add_done_callback(take)
        return found

    def end(self, at_once: bool) -> None:
        """Tasks that wait or run are cancelled, the latter with their process."""
        if not at_once:
            return
        for found, task in list(self._open.items()):
            found.cancel()
            with suppress(Exception):  # the cluster is gone, and the task with it
                self._ray.cancel(task, force=True)
        self._open.clear()

    @contextmanager
    def _losses_told(self, unit: SeedWork) -> Iterator[None]:
        """Ray's many errors, as what a pool knows: a loss, or something that no other try would mend."""
        errors = self._ray.exceptions
        try:
            yield
        except StudyError as error:  # Ray's has a traceback for its text
            raise StudyError(str(getattr(error, "cause", error))) from None
        except errors.RayTaskError as error:
            reason = str(error).strip().splitlines()[-1]
            raise StudyError(f"`--ray`: a node could not begin {unit.name}: {reason}") from error
        except errors.RuntimeEnvSetupError as error:
            raise StudyError(f"`--ray`: a node has no environment for trials: {error}") from error
        except errors.RayError as error:
            raise LostTaskError(type(error).__name__) from error


def _task(what: bytes, versions: Mapping[str, str], *folds: bytes) -> bytes:
    """On a node: a unit's result. Pickled here as between local processes, so that arrays are the receiver's own."""
    import ray

    here = _versions()
    other = [f"{name} {here[name]}, not {wanted}" for name, wanted in versions.items() if here[name] != wanted]
    if other:
        place = ray.util.get_node_ip_address()
        raise StudyError(f"`--ray`: node {place} has {', '.join(other)}, and would give other numbers. Install these.")
    work, unit, recipe = cast(tuple[AnyWork[Any, Any], Any, Recipe], pickle.loads(what))
    own = {seed: pickle.loads(fold) for seed, fold in zip(unit.seeds, folds, strict=True)}
    return pickle.dumps(attempt(work, unit, own, recipe))


def _versions() -> dict[str, str]:
    return {name: version(name) for name in SAME}
