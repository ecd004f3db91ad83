"""Optuna's storage: opened, read by Optuna, and written to a unit at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..error import StudyError
from .identity import HERE, StudyIdentity

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from sqlalchemy import Connection, Engine, Table

_OF_FILE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT)
WAIT = 60.0  # seconds for a lock of SQLite that another program has, such as a dashboard that reads
# Optuna's tables as the bulk writer below knows them. With any other columns, Optuna writes by itself.
_TABLES = {
    "trials": {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"},
    "trial_values": {"trial_value_id", "trial_id", "objective", "value", "value_type"},
    "trial_params": {"param_id", "trial_id", "param_name", "param_value", "distribution_json"},
    "trial_user_attributes": {"trial_user_attribute_id", "trial_id", "key", "value_json"},
}


class DamagedRecordError(StudyError):
    """What is in the database is not what was written: a structure, or a value, that can't be read."""


class TrialDatabase:
    """The trials of one study in an SQLite file or on a server.

    Arguments:
        folder: where the SQLite file `trials.db` lies, if `url` is None.
        url: a database's URL as SQLAlchemy has it, such as `postgresql://user:password@host/database`.
        identity: the study. It is made in the database if need be.

    Raises StudyError: the database cannot be reached or read, or its driver is not installed.

    What is in the SQLite file is on the disk when a call returns, and not only in the system's memory.

    Optuna adds a trial in 10 to 16 ms of processor time, about 60 statements, and each in a transaction of its own.
    `add` writes the same rows for a whole unit in one transaction, in about 0.5 ms a trial: all or none. Where Optuna's
    tables are not as known here, or the database is neither SQLite nor PostgreSQL, Optuna adds the trials.
    """

    def __init__(self, folder: Path, url: str | None, identity: StudyIdentity) -> None:
        self.place, self._id = str(folder / HERE) if url is None else address(url), identity.id
        with self._told("opened"):
            import optuna
            from sqlalchemy import NullPool, create_engine

            options: dict[str, Any] = {"poolclass": NullPool}  # no connection stays open while networks are trained
            if url is None:
                path = folder / HERE  # not as part of a URL, where "?", "%" and "{" mean something
                options["creator"] = lambda: connected(path)
            address_in_full = f"sqlite:///{HERE}" if url is None else _with_driver(url)
            before = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            try:
                storage = optuna.storages.RDBStorage(address_in_full.replace("{", "{{").replace("}", "}}"), options)
                self.study: Study = optuna.create_study(storage=storage, study_name=identity.name, load_if_exists=True)
            finally:
                optuna.logging.set_verbosity(before)
            self._engine: Engine = create_engine(address_in_full, **options)
            self._tables = _known_tables(self._engine)

    @property
    def writes_units(self) -> bool:
        """Whether the trials of a unit are added in one transaction, so that an incomplete unit was damaged."""
        return self._tables is not None

    def describe(self, facts: dict[str, Any]) -> None:
        """The study's id and facts about it as a whole, as user attributes, where they are not there yet."""
        with self._told("written to"):
            before = self.study.user_attrs
            for name, value in ({"id": self._id} | facts).items():
                if name not in before or before[name] != value:
                    self.study.set_user_attr(name, value)

    def trials(self) -> list[FrozenTrial]:
        """Every trial, in the order of adding."""
        with self._told("read"):
            return self.study.get_trials(deepcopy=False)

    def add(self, trials: Sequence[FrozenTrial]) -> None:
        """Add finished trials."""
        with self._told("written to"):
            with self._engine.begin() as connection:
                study = self._study_id(connection)
                if self._tables is not None:
                    _insert(connection, self._tables, study, trials)
                    return
            self.study.add_trials(trials)

    def _study_id(self, connection: Connection) -> int:
        """The study's number. On a server its row is locked until the transaction ends, as Optuna does.

        Raises StudyError: the study is gone, and another of its name may be there.
        """
        from sqlalchemy import text

        lock = "" if self._engine.name == "sqlite" else " FOR UPDATE OF s"
        query = text(
            "SELECT s.study_id FROM studies s JOIN study_user_attributes a ON a.study_id = s.study_id "
            f"WHERE s.study_name = :name AND a.key = 'id' AND a.value_json = :id{lock}"
        )
        number = connection.execute(query, {"name": self.study.study_name, "id": json.dumps(self._id)}).scalar()
        if number is None:
            raise StudyError(gone(self.place))
        return int(number)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """A database's error as one that says what to do."""
        try:
            yield
        except StudyError:
            raise
        except ImportError as error:
            raise StudyError(
                f"`--storage`: {self.place} needs a driver that is not installed: {error}. For PostgreSQL: "
                "pip install 'thinned[postgresql]'"
            ) from error
        except Exception as error:
            cause = error.__cause__ or error
            original = getattr(cause, "orig", None) or cause
            unreadable = not _of_database(error)
            if unreadable and what == "written to":
                raise
            kind = DamagedRecordError if unreadable or of_file(original) else StudyError
            reason = (str(original).strip() or type(original).__name__).splitlines()[0].rstrip(".")
            raise kind(impossible(self.place, what, reason)) from error


def connected(path: Path) -> sqlite3.Connection:
    """An SQLite file of which each transaction is on the disk once it is committed, the folder's entry included."""
    connection = sqlite3.connect(path, timeout=WAIT, check_same_thread=False)
    connection.execute("PRAGMA synchronous = EXTRA")
    return connection


def of_file(error: BaseException) -> bool:
    """Whether an error of SQLite is the file's: its structure, a text in it, or that it lacks a table.

    Others are the disk's or a lock's. Python's own, such as of a text that is no UTF-8, have no number.
    """
    number = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return isinstance(error, sqlite3.Error) and number & 0xFF in _OF_FILE


def impossible(place: object, what: str, reason: object) -> str:
    """What to say where the record of trials cannot be `what`: opened, read, written to."""
    return (
        f"{place}: the record of trials cannot be {what}: {reason}. Nothing that was recorded before is lost. Mend "
        "this and give the same command again."
    )


def gone(place: object) -> str:
    """What to say where a study's folder, or its record, is another's now."""
    return (
        f"{place} is no longer this study's: it was removed, or begun anew, while this study ran. Nothing more was "
        "written there. Give the same command again, or name another folder with --out."
    )


def address(url: str) -> str:
    """A database's URL without password and options, for messages and for comparing.

    Raises StudyError: no URL of a database.
    """
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        found = make_url(url)
    except ArgumentError:
        raise StudyError(
            "`--storage` must be a database's URL, such as postgresql://user:password@host/database. "
            f"Got {url.rpartition('@')[2]!r}."
        ) from None
    kind = found.get_backend_name().replace("postgres", "postgresql") if found.drivername == "postgres" else None
    kind = kind or found.get_backend_name()
    return URL.create(kind, found.username, None, found.host, found.port, found.database).render_as_string()


def _with_driver(url: str) -> str:
    """PostgreSQL by psycopg, unless the URL names another driver."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in ("postgres", "postgresql") else url


def _of_database(error: Exception) -> bool:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    # A RuntimeError is that of tables which another version of Optuna made.
    return isinstance(error, (SQLAlchemyError, sqlite3.Error, optuna.exceptions.OptunaError, OSError, RuntimeError))


def _known_tables(engine: Engine) -> dict[str, Table] | None:
    from sqlalchemy import MetaData, Table

    if engine.name not in ("sqlite", "postgresql"):
        return None
    metadata = MetaData()
    found = {name: Table(name, metadata, autoload_with=engine, resolve_fks=False) for name in _TABLES}
    return found if all({c.name for c in found[name].columns} == names for name, names in _TABLES.items()) else None


def _insert(connection: Connection, tables: dict[str, Table], study: int, trials: Sequence[FrozenTrial]) -> None:
    """The rows that `study.add_trials` would write."""
    from optuna.distributions import distribution_to_json
    from sqlalchemy import func, insert, select

    table = tables["trials"]
    before = connection.execute(select(func.count()).select_from(table).where(table.c.study_id == study)).scalar_one()
    heads = [
        {
            "number": number,
            "study_id": study,
            "state": trial.state.name,
            "datetime_start": _utc(trial.datetime_start),
            "datetime_complete": _utc(trial.datetime_complete),
        }
        for number, trial in enumerate(trials, before)
    ]
    written = insert(table).returning(table.c.trial_id, sort_by_parameter_order=True)
    numbers = list(connection.execute(written, heads).scalars())
    values: list[dict[str, Any]] = []
    params: list[dict[str, Any]] = []
    attributes: list[dict[str, Any]] = []
    described: dict[int, str] = {}  # by the distribution's identity: trials share them
    for number, trial in zip(numbers, trials, strict=True):
        if trial.value is not None:
            infinite = trial.value == float("inf")
            kind = (
                {"value": None, "value_type": "INF_POS"} if infinite else {"value": trial.value, "value_type": "FINITE"}
            )
            values.append({"trial_id": number, "objective": 0, **kind})
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            if id(distribution) not in described:
                described[id(distribution)] = distribution_to_json(distribution)
            params.append(
                {
                    "trial_id": number,
                    "param_name": name,
                    "param_value": distribution.to_internal_repr(value),
                    "distribution_json": described[id(distribution)],
                }
            )
        attributes.extend(
            {"trial_id": number, "key": key, "value_json": json.dumps(value)} for key, value in trial.user_attrs.items()
        )
    for name, rows in (("trial_values", values), ("trial_params", params), ("trial_user_attributes", attributes)):
        if rows:
            connection.execute(insert(tables[name]), rows)


def _utc(moment: Any) -> Any:
    """Local time as UTC without a zone, as Optuna's tables have it."""
    return moment.astimezone(UTC).replace(tzinfo=None)
