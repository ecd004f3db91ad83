"""A damaged record: what was changed is run again, and a line names the file. No wrong number is ever taken."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thinned.study import StudyError, StudyWarning
from thinned.study.keep.arrays import DamagedArraysError, read_arrays
from thinned.study.keep.journal import Journal
from thinned.study.trial.config import Config, Unit
from thinned.study.trial.outcome import Outcome

Made = Callable[[Unit], list[Outcome]]
LIST = '{"format": 2, "name": "study", "id": "1", "storage": "trials.db", "settings": []}'
SETTINGS = {"data's fingerprint": "abc", "--seed": 0, "--hidden": (32, 32)}


@pytest.fixture
def folder(tmp_path: Path, made: Made, units: list[Unit]) -> Path:
    """A study with two units, of six runs and of one."""
    with Journal(tmp_path / "study", SETTINGS) as journal:
        for unit in units:
            journal.add(unit, made(unit))
    return tmp_path / "study"


def read(folder: Path) -> tuple[dict[Config, Outcome], list[str]]:
    """What a study that goes on takes, and what it says."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with Journal(folder, SETTINGS) as journal:
            found = journal.read()
            journal.failures()
    assert all(warning.category is StudyWarning for warning in told)
    said = [str(warning.message) for warning in told]
    assert all(len(line.splitlines()) == 1 for line in said)
    return found, said


def same(one: Outcome, other: Outcome) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(Outcome)]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def assert_mended(folder: Path, file: str, made: Made, units: list[Unit]) -> tuple[dict[Config, Outcome], list[str]]:
    """What is taken is exact, what is not is said once with its file; run again, all is there, and nothing is said."""
    found, said = read(folder)
    expected = {outcome.config: outcome for unit in units for outcome in made(unit)}
    assert all(same(outcome, expected[config]) for config, outcome in found.items())
    if len(found) < len(expected):
        assert [line for line in said if str(folder / file) in line], said
    with Journal(folder, SETTINGS) as journal:
        for unit in units:
            journal.add(unit, made(unit))
    again, silence = read(folder)
    assert again.keys() == expected.keys()
    assert not silence
    return found, said


def changed(connection: sqlite3.Connection, statement: str) -> None:
    with connection:
        assert connection.execute(statement).rowcount
    connection.close()


@pytest.mark.long
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial_user_attributes SET value_json = '0.001' WHERE key = 'val_error' AND trial_id = 2",
        "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'steps' AND trial_id = 2",
        "UPDATE trial_user_attributes SET value_json = CAST(x'ff' AS TEXT) WHERE key = 'steps' AND trial_id = 2",
        "UPDATE trial_params SET param_value = 0.7 WHERE param_name = 'p' AND trial_id = 2",
        "UPDATE trials SET state = 'COMPLETF' WHERE trial_id = 2",
        "DELETE FROM trials WHERE trial_id = 2",
        "UPDATE studies SET study_name = 'other'",
        "ALTER TABLE trials DROP COLUMN state",
    ],
)
def test_an_edited_record(folder: Path, made: Made, units: list[Unit], statement: str) -> None:
    connection = sqlite3.connect(folder / "trials.db")
    if "DROP" in statement:
        connection.execute(statement)
        connection.commit()
        connection.close()
    else:
        changed(connection, statement)
    found, _ = assert_mended(folder, "trials.db", made, units)
    assert (len(found) == 7) == ("study_name" in statement)  # the runs themselves are whole then


@pytest.mark.long
def test_one_changed_run_costs_its_unit_alone(folder: Path, made: Made, units: list[Unit]) -> None:
    """Whether the rest of the file can be read, or Optuna can't take it as a whole."""
    for value in ("0.001", "{"):
        again = folder.with_name(f"again{len(value)}")
        shutil.copytree(folder, again)
        changed(
            sqlite3.connect(again / "trials.db"),
            f"UPDATE trial_user_attributes SET value_json = '{value}' WHERE key = 'val_error' AND trial_id = 2",
        )
        (found,) = read(again)[0].values()
        assert same(found, made(units[1])[0])


@pytest.mark.long
@pytest.mark.parametrize("content", [b"", b"no database" * 1000, None, "half", "head"], ids=str)
def test_an_empty_cut_or_missing_record(
    folder: Path, made: Made, units: list[Unit], content: bytes | str | None
) -> None:
    path = folder / "trials.db"
    before = path.read_bytes()
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_bytes(before[: len(before) // 2 if content == "half" else 512])
    damaged = None if content is None else path.read_bytes()
    found, said = assert_mended(folder, "trials.db", made, units)
    assert not found or content == "half"
    assert [line for line in said if line.startswith(f"{path} is ")]
    if damaged is not None:
        assert (folder / "trials.db.damaged").read_bytes() == damaged


def flipped(folder: Path, name: str, places: int, made: Made, units: list[Unit]) -> None:
    """A byte changed at places all over the file, one at a time."""
    path = folder / name
    content = path.read_bytes()
    for number in range(places):
        again = folder.with_name(f"{number}")
        shutil.copytree(folder, again)
        part = bytearray(content)
        part[(number * len(content)) // places + number] ^= 1 << number % 8
        (again / name).write_bytes(part)
        assert_mended(again, name, made, units)


@pytest.mark.long
def test_a_changed_byte_anywhere(folder: Path, made: Made, units: list[Unit]) -> None:
    flipped(folder, "trials.db", 30, made, units)


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", *(pytest.param(x, marks=pytest.mark.long) for x in ("empty", "edited", "other"))]
)
def test_damaged_arrays(folder: Path, made: Made, units: list[Unit], damage: str) -> None:
    path, other = sorted((folder / "arrays").iterdir())
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 3])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "edited":
        with np.load(path) as found:
            arrays = dict(found)
        arrays["val_output"][0] += 1
        np.savez(path, **arrays)
    else:
        shutil.copy(other, path)
    found, said = assert_mended(folder, str(path.relative_to(folder)), made, units)
    assert {config.level for config in found} == {units[0].level}
    assert [line for line in said if line.startswith(f"{path} ")]


def test_no_changed_byte_of_a_file_of_arrays_gives_other_numbers(folder: Path, made: Made, units: list[Unit]) -> None:
    path = min((folder / "arrays").iterdir())
    content = path.read_bytes()
    [expected] = made(units[1])
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            [found] = read_arrays(path.parent, path.stem, 1)
        except DamagedArraysError:
            continue
        assert found.curve == expected.curve
        assert np.array_equal(found.val_output, expected.val_output)
        assert np.array_equal(found.test_output, expected.test_output)


@pytest.mark.parametrize(
    "content",
    ["{", *(pytest.param(x, marks=pytest.mark.long) for x in ("", "[]", "null", '{"format": 2}', LIST, None))],
)
def test_who_the_study_is_stands_in_its_record_too(
    folder: Path, made: Made, units: list[Unit], content: str | None
) -> None:
    path = folder / "journal.json"
    before = path.read_text()
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    found, said = read(folder)
    assert len(found) == 7
    assert said == [f"{path} was damaged, and is written anew."]
    assert json.loads(path.read_text()) == json.loads(before)
    with pytest.raises(StudyError, match="other settings"):
        Journal(folder, SETTINGS | {"--seed": 1})


@pytest.mark.long
def test_a_folder_begun_anew_while_a_study_runs_is_not_mixed_with_it(
    folder: Path, made: Made, units: list[Unit]
) -> None:
    """Neither the folder under its name, nor the record alone."""
    with Journal(folder.with_name("first"), SETTINGS) as first:
        first.add(units[0], made(units[0]))
        shutil.rmtree(folder.with_name("first"))
        with pytest.raises(StudyError, match=r"no longer this study's: it was removed, or begun anew"):
            first.add(units[1], made(units[1]))
        assert not folder.with_name("first").exists()
        with Journal(folder.with_name("first"), SETTINGS) as second:
            with pytest.raises(StudyError, match="Give the same command again, or name another folder"):
                first.add(units[0], made(units[0]))
            with pytest.raises(StudyError, match="Give the same command again, or name another folder"):
                first.fail(units[0], "why")
            assert second.read() == {}
            second.add(units[1], made(units[1]))
            assert second.read().keys() == {outcome.config for outcome in made(units[1])}
    with Journal(folder, SETTINGS) as journal:
        shutil.copy(folder.with_name("first") / "trials.db", folder / "trials.db")
        with pytest.raises(StudyError, match=r"trials\.db is no longer this study's"):
            journal.add(units[1], made(units[1]))
    with sqlite3.connect(folder.with_name("first") / "trials.db") as connection:
        rows = connection.execute("SELECT value_json FROM trial_user_attributes WHERE key = 'study'").fetchall()
    connection.close()
    identity = json.loads((folder.with_name("first") / "journal.json").read_text())
    assert rows == [(json.dumps(identity["id"]),)]


def test_of_two_that_start_at_once_one_has_the_folder(tmp_path: Path) -> None:
    for attempt in range(3):
        start = threading.Barrier(2)
        begun: list[Journal] = []
        refused: list[str] = []

        def begin(folder: Path, start: threading.Barrier, begun: list[Journal], refused: list[str]) -> None:
            start.wait()
            try:
                begun.append(Journal(folder, SETTINGS))
            except StudyError as error:
                refused.append(str(error))

        arguments = (tmp_path / str(attempt), start, begun, refused)
        threads = [threading.Thread(target=begin, args=arguments) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(begun) == 1
        assert all("a study is being written here by" in said for said in refused)
        begun[0].close()


def test_a_lock_that_was_removed_before_it_was_taken_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another study gave up in between, and took its file along."""
    from thinned.study.keep import lock

    (tmp_path / "study").mkdir()
    taken = lock._taken
    calls: list[object] = []

    def removed_meanwhile(stream: object) -> bool:
        if not calls:
            (tmp_path / "study" / ".lock").unlink()
        calls.append(stream)
        return taken(stream)  # type: ignore[arg-type]

    monkeypatch.setattr(lock, "_taken", removed_meanwhile)
    with Journal(tmp_path / "study", SETTINGS) as journal:
        assert len(calls) == 2
        journal.check()
        with pytest.raises(StudyError, match="a study is being written here"):
            Journal(tmp_path / "study", SETTINGS)


def test_a_finished_run_is_on_the_disk(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    """The arrays before the trials that name them, and both by the strictest mode of SQLite's rollback journal."""
    from thinned.study.keep.database import connected

    synced: list[int] = []
    with Journal(tmp_path / "study", SETTINGS) as journal, pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
        journal.add(units[0], made(units[0]))
    (arrays,) = (tmp_path / "study" / "arrays").iterdir()
    assert synced == [arrays.stat().st_ino, arrays.parent.stat().st_ino]
    connection = connected(tmp_path / "study" / "trials.db")
    assert connection.execute("PRAGMA synchronous").fetchone() == (3,)
    connection.close()
