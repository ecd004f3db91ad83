"""The journal: what was finished is there again, whatever happened in between."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from sqlalchemy import NullPool, event
from sqlalchemy.engine import Engine
from tests.full_disk import files_of_at_most

from thinned.study import StudyError
from thinned.study.keep.journal import Journal
from thinned.study.trial.config import Config, Level, Unit
from thinned.study.trial.outcome import Figures, Outcome

Made = Callable[[Unit], list[Outcome]]
SETTINGS = {"data's fingerprint": "abc", "--seed": 0, "--hidden": (32, 32)}


def assert_same(found: dict[Config, Outcome], expected: list[Outcome]) -> None:
    assert found.keys() == {outcome.config for outcome in expected}
    for outcome in expected:
        for field in dataclasses.fields(Outcome):
            one, other = getattr(outcome, field.name), getattr(found[outcome.config], field.name)
            if isinstance(one, np.ndarray):
                assert one.dtype == other.dtype
                assert np.array_equal(one, other, equal_nan=True)
            else:
                assert one == other, field.name


def load(folder: Path, url: str | None = None, name: str | None = None) -> optuna.Study:
    """The study as another program opens it, which leaves no connection open."""
    storage = optuna.storages.RDBStorage(url or f"sqlite:///{folder / 'trials.db'}", {"poolclass": NullPool})
    return optuna.load_study(study_name=name or folder.name, storage=storage)


def test_every_number_comes_back(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    outcomes = [outcome for unit in units for outcome in made(unit)]
    with Journal(tmp_path / "study", SETTINGS) as journal:
        assert journal.read() == {}
        for unit in units:
            journal.add(unit, made(unit)[::-1])
        assert_same(journal.read(), outcomes)
    with Journal(tmp_path / "study", SETTINGS) as journal:
        assert_same(journal.read(), outcomes)
        assert journal.failures() == {}


def test_optuna_reads_what_a_dashboard_shows(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    with Journal(tmp_path / "study", SETTINGS, wanted={"--seeds": 3}) as journal:
        for unit in units:
            journal.add(unit, made(unit))
        journal.fail(Unit(Level("decay", weight_decay=0.5), (0.1,), (0, 1)), "the loss was no number")
    study = load(tmp_path / "study")
    assert study.user_attrs["wanted"] == {"--seeds": 3}
    assert study.user_attrs["settings"]["--hidden"] == [32, 32]
    frame = study.trials_dataframe()
    assert frame["number"].tolist() == list(range(8))
    assert frame["state"].tolist() == ["COMPLETE"] * 7 + ["FAIL"]
    expected = [outcome for unit in units for outcome in made(unit)]
    done = frame[frame["state"] == "COMPLETE"]
    assert done["value"].tolist() == [outcome.val.loss for outcome in expected]
    assert done["params_p"].tolist() == [outcome.config.level.p for outcome in expected]
    assert done["params_arm"].tolist() == ["dropout"] * 6 + ["both"]
    assert done["params_lr"].tolist() == [outcome.config.lr for outcome in expected]
    assert done["params_seed"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert done["user_attrs_val_error"].tolist() == [outcome.val.error for outcome in expected]
    seconds = [outcome.seconds for outcome in expected]
    assert done["duration"].dt.total_seconds().tolist() == pytest.approx(seconds, abs=2e-6)
    assert frame["user_attrs_reason"].iloc[-1] == "the loss was no number"
    assert study.best_value == min(outcome.val.loss for outcome in expected)
    assert study.trials[0].distributions["lr"].log  # type: ignore[attr-defined]


def test_the_rows_are_those_that_optuna_would_write(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    lost = [replace(outcome, val=Figures(math.nan, math.nan, math.nan)) for outcome in made(units[1])]
    with Journal(tmp_path / "one", SETTINGS) as journal:
        journal.add(units[0], made(units[0]))
        journal.add(units[1], lost)
        journal.fail(units[0], "why")
    with Journal(tmp_path / "other", SETTINGS):
        pass
    load(tmp_path / "other").add_trials(load(tmp_path / "one").trials)
    dumps = []
    for name in ("one", "other"):
        with sqlite3.connect(tmp_path / name / "trials.db") as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
        connection.close()
        rows["studies"] = [(1, "name")]
        assert rows["study_user_attributes"].pop(0)[:3] == (1, 1, "id")  # each study has one of its own
        rows["trial_user_attributes"] = sorted(
            row[1:] for row in rows["trial_user_attributes"]
        )  # of a trial in any order
        dumps.append(rows)
    assert dumps[0] == dumps[1]
    assert len(dumps[0]["trial_params"]) == 7 * 6 + 4


def test_a_loss_that_is_no_number(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    figures = Figures(math.nan, math.inf, math.nan)
    lost = [replace(outcome, val=figures, ended="diverged") for outcome in made(units[1])]
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.add(units[1], lost)
        (found,) = journal.read().values()
    assert (found.ended, found.val.nll) == ("diverged", math.inf)
    assert math.isnan(found.val.loss)
    assert load(tmp_path / "study").trials[0].value == math.inf


@pytest.mark.long
def test_a_study_grows(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    """More seeds, other rates: the same folder goes on, since these only say which runs are wanted."""
    more = Unit(units[0].level, units[0].lrs, (3, 4))
    with Journal(tmp_path / "study", SETTINGS, wanted={"--seeds": 3}) as journal:
        journal.add(units[0], made(units[0]))
    with Journal(tmp_path / "study", SETTINGS, wanted={"--seeds": 5}) as journal:
        journal.add(more, made(more))
        assert_same(journal.read(), made(units[0]) + made(more))
    assert load(tmp_path / "study").user_attrs["wanted"] == {"--seeds": 5}


def test_a_unit_trained_again_replaces_the_earlier(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    """As under another limit of steps, and back."""
    short = made(units[0])
    long = [replace(outcome, steps=outcome.steps + 1, val_output=2 * outcome.val_output) for outcome in short]
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.add(units[0], short)
        for added in (long, short, long, long):
            before = journal.read()
            with dying_at(1), pytest.raises(KeyboardInterrupt):
                journal.add(units[0], added)
            assert_same(journal.read(), list(before.values()))  # with the earlier arrays
            journal.add(units[0], added)
            assert_same(journal.read(), added)
    assert len(list((tmp_path / "study" / "arrays").iterdir())) == 2


def test_the_unit_of_a_run(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    unit = Unit(Level("dropout", 0.5), (0.003, 0.001), (4, 2, 3))
    with Journal(tmp_path / "study", SETTINGS) as journal:
        for one in (unit, *units):
            journal.add(one, made(one))
        assert journal.unit_of(unit.configs()[0]) == unit
        assert journal.unit_of(unit.configs()[1]) == units[0]  # the later one
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.read()
        assert [journal.unit_of(config) for config in unit.configs()] == [unit, units[0], unit, unit, units[0], unit]
        with pytest.raises(KeyError):
            journal.unit_of(Config(unit.level, 0.5, 0))


def test_failures_are_forgotten_once_the_unit_is_trained(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.fail(units[0], "killed")
        journal.fail(units[1], "first")
        journal.fail(units[1], "then")
        assert journal.failures() == {units[0]: "killed", units[1]: "then"}
        journal.add(units[1], made(units[1]))
        assert journal.failures() == {units[0]: "killed"}
        assert_same(journal.read(), made(units[1]))


def test_a_damaged_or_missing_file_counts_as_not_run_and_is_said_once(
    tmp_path: Path, made: Made, units: list[Unit]
) -> None:
    third = Unit(Level("input", 0.5, p_input=0.2), (0.01,), (0,))
    with Journal(tmp_path / "study", SETTINGS) as journal:
        for unit in (*units, third):
            journal.add(unit, made(unit))
        files = sorted((tmp_path / "study" / "arrays").iterdir())  # level, unit, content
        levels = ["both-p0.3-in0.2-wd0.5", "dropout-p0.5-wd0", "input-p0.5-in0.2-wd0"]
        assert [path.name.rsplit("-", 2)[0] for path in files] == levels
        content = bytearray(files[0].read_bytes())
        content[len(content) // 2] ^= 1
        files[0].write_bytes(content)
        files[1].unlink()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for _ in range(2):
                assert_same(journal.read(), made(third))
        assert len(told) == 2
        assert re.search(r"both-.*npz is damaged .*, so its 1 runs count as not run\.", str(told[1].message))
        assert re.search(r"dropout-.*npz is missing, so its 6 runs count as not run\.", str(told[0].message))
        journal.add(units[0], made(units[0]))
        journal.add(units[1], made(units[1]))
        assert_same(journal.read(), made(units[0]) + made(units[1]) + made(third))


def test_units_that_differ_in_the_last_digit_only_are_two(tmp_path: Path, made: Made) -> None:
    one, other = (Unit(Level("dropout", 0.5), (lr,), (0,)) for lr in (0.001, 0.0010000001))
    assert one.name == other.name
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.add(one, made(one))
        journal.add(other, made(other))
        assert_same(journal.read(), made(one) + made(other))


def test_outcomes_of_another_unit_are_refused(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    with Journal(tmp_path / "study", SETTINGS) as journal:
        with pytest.raises(ValueError, match="`outcomes` must be the 6 runs of dropout"):
            journal.add(units[0], made(units[0])[:5])
        assert journal.read() == {}


@contextmanager
def dying_at(statement: int) -> Iterator[list[str]]:
    """The process ends at a statement of the database, counted from 0, or at the commit after the last one."""
    seen: list[str] = []

    def count(what: str) -> None:
        seen.append(what)
        if len(seen) - 1 == statement:
            raise KeyboardInterrupt

    def executing(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        count(text)

    def committing(_connection: Any) -> None:
        count("COMMIT")

    event.listen(Engine, "before_cursor_execute", executing)
    event.listen(Engine, "commit", committing)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", executing)
        event.remove(Engine, "commit", committing)


def test_killed_at_any_statement_a_unit_is_absent_as_a_whole(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.add(units[1], made(units[1]))
        with dying_at(-1) as statements:
            journal.add(units[1], made(units[1]))
        assert statements[-1] == "COMMIT"
        assert len(statements) == 7
    for statement in range(len(statements)):
        with Journal(tmp_path / "study", SETTINGS) as journal:
            with dying_at(statement), pytest.raises(KeyboardInterrupt):
                journal.add(units[0], made(units[0]))
            assert_same(journal.read(), made(units[1]))
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.add(units[0], made(units[0]))
        assert_same(journal.read(), made(units[0]) + made(units[1]))


def test_killed_before_it_knows_its_study_a_folder_is_as_new(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    (tmp_path / "there").mkdir()
    for statement in (0, 20, 40, 60):
        for name in ("there", "new"):
            with dying_at(statement), pytest.raises(KeyboardInterrupt):
                Journal(tmp_path / name, SETTINGS)
        assert not (tmp_path / "new").exists()
    with Journal(tmp_path / "there", SETTINGS) as journal:
        journal.add(units[0], made(units[0]))
        assert_same(journal.read(), made(units[0]))


@pytest.mark.long
def test_where_optuna_adds_trials_itself_an_incomplete_unit_is_left_out(
    tmp_path: Path, made: Made, units: list[Unit]
) -> None:
    """A table with a column more is that of another Optuna, which then writes it."""
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.add(units[1], made(units[1]))
    with sqlite3.connect(tmp_path / "study" / "trials.db") as connection:
        connection.execute("ALTER TABLE trials ADD COLUMN further INTEGER")
    connection.close()
    with Journal(tmp_path / "study", SETTINGS) as journal:
        with dying_at(-1) as statements:
            journal.add(units[0], made(units[0]))
        assert len(statements) > 100
        assert_same(journal.read(), made(units[0]) + made(units[1]))
    third = Unit(Level("dropout", 0.4), (0.001, 0.003), (0, 1))
    cut = len(statements) // 3
    with Journal(tmp_path / "study", SETTINGS) as journal, dying_at(cut), pytest.raises(KeyboardInterrupt):
        journal.add(third, made(third))
    with Journal(tmp_path / "study", SETTINGS) as journal:
        assert len(load(tmp_path / "study").trials) > 7
        assert_same(journal.read(), made(units[0]) + made(units[1]))
        journal.add(third, made(third))
        assert_same(journal.read(), made(units[0]) + made(units[1]) + made(third))


def test_a_full_disk_loses_nothing(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    large = Unit(Level("dropout", 0.2), tuple(0.001 * (1 + i) for i in range(10)), tuple(range(10)))
    with Journal(tmp_path / "study", SETTINGS) as journal:
        journal.add(units[0], made(units[0]))
        database = (tmp_path / "study" / "trials.db").stat().st_size
        with files_of_at_most(500), pytest.raises(StudyError, match="cannot be written to: File too large"):
            journal.add(large, made(large))
        assert_same(journal.read(), made(units[0]))
        with files_of_at_most(database), pytest.raises(StudyError, match="the record of trials cannot be written to"):
            journal.add(large, made(large))
        assert_same(journal.read(), made(units[0]))
    with Journal(tmp_path / "study", SETTINGS) as journal:
        assert_same(journal.read(), made(units[0]))
        journal.add(large, made(large))
        assert_same(journal.read(), made(units[0]) + made(large))
    assert not list((tmp_path / "study").rglob("*.part"))


def test_other_settings_are_named(tmp_path: Path) -> None:
    with Journal(tmp_path / "study", SETTINGS):
        pass
    other = SETTINGS | {"--seed": 1, "--hidden": (64,)}
    with pytest.raises(StudyError, match=r"--hidden was 32 32, now 64; --seed was 0, now 1\. Name another folder"):
        Journal(tmp_path / "study", other)
    with Journal(tmp_path / "study", SETTINGS):
        pass  # the folder was not left locked


def test_folders_that_are_not_a_study_s(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("")
    old = tmp_path / "old" / "journal"
    old.mkdir(parents=True)
    (old / "settings.json").write_text("{}")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "journal.json").write_text('{"format": 2, "na')
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "journal.json").write_text('{"format": 3}')
    for name, said in (
        ("file", "must be a folder. This is a file."),
        ("file/below", "cannot be written to: Not a directory"),
        ("other", "must be a new or empty folder"),
        ("old", "a study of an older version of thinned, which trained by other rules and cannot go on"),
        ("damaged", "journal.json is damaged"),
        ("newer", "a study of another version of thinned"),
    ):
        with pytest.raises(StudyError, match=said):
            Journal(tmp_path / name, SETTINGS)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("name", ["journal.json", "trials.db", "report.html"])
def test_a_fifo_in_a_study_s_folder_is_refused_and_not_waited_for(
    name: str, tmp_path: Path, made: Made, units: list[Unit]
) -> None:
    with Journal(tmp_path, SETTINGS) as journal:
        journal.add(units[0], made(units[0]))
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(StudyError, match=f"{name}: in a study's folder every file must be a regular one. This is a FI"):
        Journal(tmp_path, SETTINGS)


def test_a_folder_that_is_no_study_s_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    os.mkfifo(tmp_path / "music" / "pipe")
    with pytest.raises(StudyError, match="must be a new or empty folder"):
        Journal(tmp_path, SETTINGS)


def test_a_folder_with_signs_of_urls_in_its_name(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    folder = tmp_path / "50 % {of} what?#1&"
    with Journal(folder, SETTINGS) as journal:
        journal.add(units[0], made(units[0]))
    assert (folder / "trials.db").is_file()
    with Journal(folder, SETTINGS) as journal:
        assert_same(journal.read(), made(units[0]))


@pytest.mark.long
def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    program = (
        "import sys; from pathlib import Path; from thinned.study.keep.journal import Journal\n"
        f"journal = Journal(Path(sys.argv[1]), {SETTINGS!r}); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        with pytest.raises(StudyError, match=rf"a study is being written here by process {other.pid} on .*\. Wait"):
            Journal(folder, SETTINGS)
        other.kill()
        other.wait()
        with Journal(folder, SETTINGS) as journal:
            with pytest.raises(StudyError, match="a study is being written here"):
                Journal(folder, SETTINGS)
            assert journal.read() == {}


def test_a_wrong_storage_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    for storage, said in (
        ("nonsense", r"`--storage` must be a database's URL, such as postgresql://"),
        ("postgresql://me:secret@localhost:1/none", r"postgresql://me@localhost:1/none: .* cannot be opened"),
        ("postgres://me:secret@localhost:1/none", r"postgresql://me@localhost:1/none: .* cannot be opened"),
        ("oracle://me@host/none", r"oracle://me@host/none needs a driver that is not installed"),
        (f"sqlite:///{tmp_path}/no/where.db", "cannot be opened: unable to open database file"),
    ):
        with pytest.raises(StudyError, match=said) as caught:
            Journal(tmp_path / "study", SETTINGS, storage)
        assert "secret" not in str(caught.value)
        assert not (tmp_path / "study").exists()


@pytest.mark.long
def test_a_study_stays_with_its_storage(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    storage = f"sqlite:///{tmp_path}/shared.db"
    with Journal(tmp_path / "study", SETTINGS, storage) as journal:
        journal.add(units[0], made(units[0]))
        first = journal.name
    with pytest.raises(StudyError, match=r"Got trials\.db\. Pass --storage sqlite:///.*shared\.db, or name another"):
        Journal(tmp_path / "study", SETTINGS)
    with Journal(tmp_path / "study", SETTINGS, storage) as journal:
        assert journal.name == first
        assert_same(journal.read(), made(units[0]))
    with Journal(tmp_path / "elsewhere" / "study", SETTINGS, storage) as journal:
        assert journal.name != first  # another folder of the same name, with the same settings
        assert re.fullmatch(r"study-[0-9a-f]{8}-[0-9a-f]{6}", journal.name)
        assert journal.read() == {}
    with Journal(tmp_path / "own", SETTINGS):
        pass
    with pytest.raises(StudyError, match="Leave --storage out"):
        Journal(tmp_path / "own", SETTINGS, storage)


@pytest.mark.long
def test_a_server(tmp_path: Path, server: str, made: Made, units: list[Unit]) -> None:
    with Journal(tmp_path / "study", SETTINGS, server) as journal:
        journal.add(units[0], made(units[0]))
        journal.fail(units[1], "killed")
        with dying_at(5), pytest.raises(KeyboardInterrupt):
            journal.add(units[1], made(units[1]))
    with Journal(tmp_path / "study", SETTINGS, server) as journal:
        assert journal.failures() == {units[1]: "killed"}
        journal.add(units[1], made(units[1]))
        assert_same(journal.read(), made(units[0]) + made(units[1]))
        name = journal.name
    assert not (tmp_path / "study" / "trials.db").exists()
    assert "secret" not in (tmp_path / "study" / "journal.json").read_text()
    url = server.replace("postgresql:", "postgresql+psycopg:")
    frame = load(tmp_path, url, name).trials_dataframe()
    assert frame["number"].tolist() == list(range(8))
    assert frame["state"].tolist() == ["COMPLETE"] * 6 + ["FAIL", "COMPLETE"]


def test_nothing_is_said_and_optunas_verbosity_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    with Journal(tmp_path / "study", SETTINGS):
        pass
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
    assert json.loads((tmp_path / "study" / "journal.json").read_text())["name"] == "study"


def test_optuna_is_imported_late() -> None:
    code = "import sys, thinned.study.keep.journal; sys.exit('optuna' in sys.modules or 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
