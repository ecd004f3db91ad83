"""What has finished, so that a study can go on and grow: trials in Optuna's storage, arrays as files beside it."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..error import StudyError, StudyWarning, writing
from ..trial.config import Config, Unit
from ..trial.outcome import Outcome
from .arrays import FOLDER, SUFFIX, DamagedArraysError, read_arrays, write_arrays
from .damage import identity_in, reopened
from .database import TrialDatabase, address, gone
from .identity import BEGUN, HERE, IDENTITY, DamagedIdentityError, StudyIdentity, found_in
from .lock import FolderLock
from .optuna_trial import completed, failed, failed_unit, is_sound, outcome_of, unit_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Journal:
    """The finished runs of one study folder. One process at a time has it, until `close`.

    Arguments:
        folder: the study's folder; made if need be.
        settings: everything that decides the numbers of a run: data, seed, layers, batch, limit of steps, versions. A
            folder holds runs of one setting only. What only decides which runs are wanted is not among them.
        storage: the URL of a database for the record of trials. By default it is the file `trials.db` in the folder.
        wanted: which runs this call wants, and other facts for whoever looks at the study in a dashboard. They may
            differ from call to call.

    Raises StudyError: the folder belongs to something else, to a study with other settings or of an older version, or
    is in use; or the database cannot be used.

    A unit's arrays are written before its trials, and its trials in one transaction. So whatever fails in between, a
    unit is there as a whole or not at all, and no other unit is touched.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        storage: str | None = None,
        *,
        wanted: dict[str, Any] | None = None,
    ) -> None:
        settings = json.loads(json.dumps(settings))
        place = HERE if storage is None else address(storage)
        identity, _ = _known(folder, storage)  # before anything is written, and before Optuna is imported
        if identity is not None:
            identity.check(folder, place, settings)
        new_folder = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(
                f"{folder}: cannot be written to: {error.strerror}. Name another folder with --out."
            ) from error
        self.folder = folder
        self._lock = FolderLock(folder)
        try:
            identity, written = _known(folder, storage)  # another process may have begun a study in the meantime
            facts = {"settings": settings} | ({} if wanted is None else {"wanted": json.loads(json.dumps(wanted))})
            if identity is None:
                identity = StudyIdentity.new(folder, place, settings)
                self._database = TrialDatabase(folder, storage, identity)
                self._database.describe(facts)
                _write(folder, identity)
            else:
                identity.check(folder, place, settings)
                self._database = reopened(folder, storage, identity, facts)
                if not written:
                    _write(folder, identity)
                    warnings.warn(f"{folder / IDENTITY} was damaged, and is written anew.", StudyWarning, stacklevel=2)
        except BaseException:
            self._lock.release()
            if new_folder and {item.name for item in folder.iterdir()} <= BEGUN:
                for item in folder.iterdir():
                    item.unlink()
                folder.rmdir()
            raise
        self.name, self.id = identity.name, identity.id
        self._told: set[Path] = set()
        self._units: dict[Config, Unit] = {}

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.release()

    def check(self) -> None:
        """Raises StudyError: the folder was removed, or is another study's now."""
        if not self._lock.holds():
            raise StudyError(gone(self.folder))

    def read(self) -> dict[Config, Outcome]:
        """Every finished run of which the trial and all arrays are as they were written.

        Warns once of each unit of which they are not: its runs count as not run.
        """
        found: dict[Config, Outcome] = {}
        with _collector_paused():
            for name, trials in self._complete().items():
                try:
                    arrays = read_arrays(self.folder / FOLDER, name, len(trials))
                except DamagedArraysError as error:
                    self._tell(Path(FOLDER, f"{name}{SUFFIX}"), f"{error}, so its {len(trials)} runs count as not run")
                    continue
                unit = unit_of(trials)
                for trial, of_run in zip(trials, arrays, strict=True):
                    outcome = outcome_of(trial, of_run)
                    found[outcome.config] = outcome
                    self._units[outcome.config] = unit
        return found

    def unit_of(self, config: Config) -> Unit:
        """The unit that a run was trained in, of the runs read or added so far. Raises KeyError for any other."""
        return self._units[config]

    def add(self, unit: Unit, outcomes: Sequence[Outcome]) -> None:
        """Write a unit's finished runs, all of them.

        Raises StudyError: a full disk, or a database that does not answer. What was there before stays.
        """
        by_config = {outcome.config: outcome for outcome in outcomes}
        configs = unit.configs()
        self.check()
        if set(by_config) != set(configs) or len(outcomes) != len(configs):
            raise ValueError(f"`Journal.add`: `outcomes` must be the {len(configs)} runs of {unit.name}.")
        ordered = [by_config[config] for config in configs]
        with writing(self.folder):
            arrays = write_arrays(self.folder / FOLDER, unit, ordered)
        self._database.add([completed(unit, outcome, arrays, self.id) for outcome in ordered])
        self._units.update(dict.fromkeys(configs, unit))

    def fail(self, unit: Unit, reason: str) -> None:
        """Record that a unit could not be trained, and why."""
        self.check()
        self._database.add([failed(unit, reason, self.id)])

    def failures(self) -> dict[Unit, str]:
        """The units that failed and have not been trained since, with the last reason of each."""
        done = {trials[0].user_attrs["unit"] for trials in self._complete().values()}
        failed_trials = [trial for trial in self._database.trials() if trial.state.name == "FAIL"]
        return dict(failed_unit(trial) for trial in failed_trials if trial.user_attrs["unit"] not in done)

    def _complete(self) -> dict[str, list[FrozenTrial]]:
        """Complete units by the names of their files, those added last in the end: the trials of all runs, in order."""
        units: dict[str, dict[int, FrozenTrial]] = {}
        for trial in self._database.trials():
            if trial.state.name != "COMPLETE":
                continue
            if not is_sound(trial, self.id):
                self._tell(Path(HERE), "holds runs that are not as this study wrote them, so they count as not run")
                continue
            name = trial.user_attrs["arrays"]
            units[name] = units.pop(name, {})
            units[name][trial.user_attrs["run"]] = trial
        found = {}
        for name, trials in units.items():
            if len(trials) == next(iter(trials.values())).user_attrs["runs"]:
                found[name] = [trials[run] for run in sorted(trials)]
            elif self._database.writes_units:  # where Optuna adds the trials one by one, a unit can be incomplete
                self._tell(Path(HERE), "lacks runs that this study wrote, so their units count as not run")
        return found

    def _tell(self, file: Path, what: str) -> None:
        if file not in self._told:
            self._told.add(file)
            warnings.warn(f"{self.folder / file} {what}.", StudyWarning, stacklevel=3)


def _known(folder: Path, storage: str | None) -> tuple[StudyIdentity | None, bool]:
    """The study that a folder belongs to, and whether its `journal.json` says so or else its record of trials."""
    try:
        return found_in(folder), True
    except DamagedIdentityError:
        found = None if storage is not None else identity_in(folder / HERE)
        if found is None:
            raise
        return found, False


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Reading makes 100,000s of objects that stay; Python's collector would look through them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _write(folder: Path, identity: StudyIdentity) -> None:
    try:
        identity.write(folder)
    except OSError as error:
        raise StudyError(
            f"{folder}: cannot be written to: {error.strerror}. Name another folder with --out."
        ) from error
