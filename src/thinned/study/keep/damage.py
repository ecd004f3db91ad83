"""A record of trials that is opened again: damage is seen, the file set aside, and what is whole in it taken over."""

from __future__ import annotations

import json
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..error import StudyError, StudyWarning
from .database import DamagedRecordError, TrialDatabase, connected, impossible, of_file
from .identity import HERE, StudyIdentity
from .optuna_trial import is_sound

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def reopened(folder: Path, url: str | None, identity: StudyIdentity, facts: dict[str, Any]) -> TrialDatabase:
    """The record of a study that goes on. Where its file is damaged, a new one with the runs that are whole in it.

    Arguments:
        facts: about the whole study.

    Warns of a damaged file, in a line. Raises StudyError: the record can't be reached; or it is damaged, and on a
    server.
    """
    path = folder / HERE
    reason = "" if url is not None else _damage(path, identity)
    if not reason:
        try:
            database = TrialDatabase(folder, url, identity)
            database.describe(facts)
            done = [trial for trial in database.trials() if trial.state.name == "COMPLETE"]
            if url is not None or all(is_sound(trial, identity.id) for trial in done):
                return database
            reason = "is damaged (it holds runs that are not as this study wrote them)"
        except DamagedRecordError as error:
            if url is not None:
                raise
            said = str(error.__cause__ or error).strip().splitlines()
            reason = f"is damaged ({said[0] if said else type(error.__cause__).__name__})"
    aside = _set_aside(path)
    whole = [] if aside is None else _whole_trials(aside, identity)
    database = TrialDatabase(folder, None, identity)
    database.describe(facts)
    if whole:
        database.add(whole)
    kept = "" if aside is None else f", but for {len(whole):,} that are whole in it. It is kept as {aside.name}"
    warnings.warn(f"{path} {reason}, so its runs count as not run{kept}.", StudyWarning, stacklevel=3)
    return database


def _damage(path: Path, identity: StudyIdentity) -> str:
    """What is wrong with the file, in words; "" for nothing.

    Raises StudyError: it can't be read, which says nothing about what is in it.
    """
    if not path.exists():
        return "is missing"
    try:
        with closing(connected(path)) as connection:
            [said] = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                return f"is damaged ({said.splitlines()[-1]})"
            query = "SELECT value_json FROM study_user_attributes NATURAL JOIN studies WHERE study_name = ? AND key = ?"
            found = connection.execute(query, (identity.name, "id")).fetchall()
    except sqlite3.Error as error:
        if not of_file(error):
            raise StudyError(impossible(path, "opened", error)) from error
        return f"is damaged ({error})"
    except ValueError as error:  # a name, or an error's text, that is no text
        return f"is damaged ({error})"
    return "" if found == [(f'"{identity.id}"',)] else "is damaged (it does not hold this study)"


def identity_in(path: Path) -> StudyIdentity | None:
    """The study that the file belongs to, as its user attributes say; None where they can't be read."""
    query = "SELECT study_name, key, value_json FROM study_user_attributes NATURAL JOIN studies"
    try:
        with closing(connected(path)) as connection:
            rows = connection.execute(query).fetchall()
        [name] = {name for name, _, _ in rows}
        facts = {key: json.loads(value) for _, key, value in rows}
        return StudyIdentity(name, facts["id"], HERE, facts["settings"])
    except (sqlite3.Error, ValueError, KeyError):
        return None


def _set_aside(path: Path) -> Path | None:
    """Rename the file, with its rollback journal, so that a new one can be begun. None where there is no file."""
    number, aside = 1, path.with_name(f"{path.name}.damaged")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    for end in ("-journal", "-wal", "-shm", ""):
        source = path.with_name(f"{path.name}{end}")
        if source.exists():
            source.replace(aside.with_name(f"{aside.name}{end}"))
    return aside if aside.exists() else None


def _whole_trials(path: Path, identity: StudyIdentity) -> list[FrozenTrial]:
    """The finished runs in a damaged file of which every value is as it was written."""
    from optuna.storages import RDBStorage
    from sqlalchemy import NullPool

    found = []
    try:
        with closing(connected(path)) as connection:
            numbers = [number for (number,) in connection.execute("SELECT trial_id FROM trials ORDER BY trial_id")]
        options = {"poolclass": NullPool, "creator": lambda: connected(path)}
        storage = RDBStorage("sqlite:///", options, skip_compatibility_check=True, skip_table_creation=True)
    except Exception:  # nothing in it can be read
        return []
    for number in numbers:
        try:
            trial = storage.get_trial(number)
            if is_sound(trial, identity.id):
                found.append(trial)
        except Exception:  # this trial can't be: it is run again
            continue
    return found
