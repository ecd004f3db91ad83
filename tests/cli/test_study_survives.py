"""`thinned study` under what ends programs: signals, kills, full disks, closed streams, too little memory."""

from __future__ import annotations

import html
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.full_disk import files_of_at_most
from typer.testing import Result

from thinned.study import StudyError, load, run_study
from thinned.study.keep.journal import Journal
from thinned.study.keep.lock import FolderLock
from thinned.study.keep.scratch import PREFIX, scratch_folder

Thinned = Callable[..., Result]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """520 rows of numbers: one test set, where fewer than 500 would have four."""
    x = np.random.default_rng(0).normal(size=(520, 3))
    path = tmp_path_factory.mktemp("data") / "data.csv"
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": np.where(x[:, 0] > 0, "up", "down")}).to_csv(
        path, index=False
    )
    return path


@pytest.fixture(scope="module")
def tiny(data: Path) -> list[str]:
    """The command of the smallest study."""
    options = "--hidden 4 --epochs 2 --seeds 2 --p 0.3 --weight-decay 0.5 --lr 0.01 --jobs 1"
    return ["study", str(data), "--target", "y", *options.split(), "--chapters", "none"]


def said(result: Result) -> str:
    return " ".join(result.output.split())


def after(units: int, what: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Something happens when so many units have been kept."""
    add, kept = Journal.add, []

    def add_and(self: Journal, *arguments: Any) -> None:
        add(self, *arguments)
        kept.append(arguments)
        if len(kept) == units:
            what()

    monkeypatch.setattr(Journal, "add", add_and)


@pytest.mark.parametrize(
    ("name", "code"),
    [("SIGTERM", 143), *(pytest.param(*each, marks=pytest.mark.long) for each in (("SIGHUP", 129), ("SIGINT", 130)))],
)
def test_a_signal_keeps_what_is_finished_and_says_how_to_go_on(
    thinned: Thinned, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    number = getattr(signal, name)
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here")
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    after(2, lambda: os.kill(os.getpid(), number), monkeypatch)
    result = thinned(*tiny, "-o", tmp_path / "out")
    assert result.exit_code == code, result.output
    found = re.search(r"Stopped\. (\d+) of about \d+ runs are in .*\. Go on with: thinned", said(result))
    assert found is not None, result.output
    assert int(found[1]) == len(pd.read_csv(tmp_path / "out" / "runs.csv")) > 0
    assert {each: signal.getsignal(each) for each in before} == before
    assert not (tmp_path / "out" / "study.json").exists()


# Two units that wait, in two processes; their ids, and then nothing more.
WAITING = """
import os, sys, time
from pathlib import Path
import numpy as np
from thinned.study.keep.scratch import scratch_folder
from thinned.study.trial.config import Level, Recipe, Unit
from thinned.study.trial.fold import Fold
from thinned.study.trial.pool import Pool

def wait(unit, folds, recipe):
    Path(os.environ["MARKS"], str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    with scratch_folder() as folder:
        rows = np.arange(3)
        x = np.zeros((3, 2), dtype=np.float32)
        for seed in (0, 1):
            Fold(x, rows, x, rows, x, rows, rows, rows, 3).save(folder / f"{seed}.npz")
        units = [Unit(Level("dropout", p), (0.1,), (0, 1)) for p in (0.1, 0.2)]
        with Pool(folder, Recipe(0, (4,), 4, 100), 2) as pool:
            list(pool.map(wait, units))
"""


def is_running(process: int) -> bool:
    """Whether it is there, and is no zombie that nobody has looked after."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_and_scratch_files_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    for name in ("temporary", "marks"):
        (tmp_path / name).mkdir()
    (tmp_path / "waiting.py").write_text(WAITING)
    told = {"TMPDIR": str(tmp_path / "temporary"), "MARKS": str(tmp_path / "marks")}
    parent = subprocess.Popen([sys.executable, tmp_path / "waiting.py"], env=os.environ | told)
    until = time.monotonic() + 120
    while len(list((tmp_path / "marks").iterdir())) < 2:
        assert parent.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    workers = [int(path.name) for path in (tmp_path / "marks").iterdir()]
    assert [path.name[: len(PREFIX)] for path in (tmp_path / "temporary").glob(f"{PREFIX}*")] == [PREFIX]
    assert all(map(is_running, workers))
    parent.kill()
    parent.wait()
    while any(map(is_running, workers)) or list((tmp_path / "temporary").glob(f"{PREFIX}*")):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_a_study_left_that_was_killed_with_its_workers_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, other, new = (tmp_path / f"{PREFIX}{name}" for name in ("left", "other", "new"))
    for folder in (left, other, new):
        folder.mkdir()
    (left / ".lock").write_text("")
    (left / "0.npz").write_bytes(b"data")
    (tmp_path / "thinned-study.txt").write_text("")
    with scratch_folder() as first:
        os.utime(other, (0, 0))
        with scratch_folder() as second:
            assert {path.name for path in tmp_path.iterdir()} == {
                first.name,
                second.name,
                new.name,
                "thinned-study.txt",
            }
    assert {path.name for path in tmp_path.iterdir()} == {new.name, "thinned-study.txt"}


def assert_one_sentence(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    for part in parts:
        assert part in said(result), result.output


@pytest.mark.long
def test_a_disk_that_is_full_at_the_end_is_a_sentence_and_the_next_call_goes_on(
    thinned: Thinned, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thinned.study import finish

    write = finish._write

    def write_on_a_full_disk(*arguments: Any) -> None:
        with files_of_at_most(100):
            write(*arguments)

    monkeypatch.setattr(finish, "_write", write_on_a_full_disk)
    result = thinned(*tiny, "-o", tmp_path / "out")
    assert_one_sentence(
        result, "File too large", f"What was finished is kept in {tmp_path / 'out'}: give the same command"
    )
    monkeypatch.setattr(finish, "_write", write)
    monkeypatch.setattr("thinned.study.underway.train_unit", None)  # nothing is trained again
    result = thinned(*tiny, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(load(tmp_path / "out").networks) > 1
    for name in ("study.json", "config.toml", "networks.safetensors", "trials.db"):
        content = (tmp_path / "out" / name).read_bytes()
        (tmp_path / "out" / name).write_bytes(content[: len(content) // 2])
    monkeypatch.undo()
    result = thinned(*tiny, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for name in ("study.json", "config.toml", "trials.db"):
        assert f"thinned study: {tmp_path / 'out' / name} is damaged" in said(result)
    assert len(load(tmp_path / "out").networks) > 1


def test_a_folder_that_goes_away_is_a_sentence_and_is_not_made_again(
    thinned: Thinned, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(1, lambda: shutil.rmtree(tmp_path / "out"), monkeypatch)
    result = thinned(*tiny, "-o", tmp_path / "out")
    assert_one_sentence(result, "is no longer this study's: it was removed, or begun anew, while this study ran")
    assert not (tmp_path / "out").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(13, "Permission denied", "/somewhere"), "/somewhere: Permission denied (needed for"),
        (MemoryError(), "memory ran out: MemoryError. Fewer or smaller layers (--hidden)"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
            "memory ran out: err == 0. DefaultCPUAllocator: can't allocate memory",
        ),
    ],
    ids=["disk", "memory", "torch"],
)  # fmt: skip
def test_an_error_of_the_system_is_a_sentence_and_leaves_no_lock(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("thinned.study.underway.range_test", fail)
    for _ in range(2):
        with pytest.raises(StudyError) as caught:
            run_study(data, target="y", out=tmp_path / "out", hidden=(4,), epochs=2, seeds=2)
        assert message in str(caught.value)
        assert f"What was finished is kept in {tmp_path / 'out'}: give the same command again" in str(caught.value)


@pytest.mark.parametrize("place", ["underway.Grid", "underway.Pool", "run.damaged"])
def test_whatever_fails_before_the_first_run_leaves_no_lock(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"thinned.study.{place}", fail)
    with pytest.raises(ZeroDivisionError) as caught:
        run_study(data, target="y", out=tmp_path / "out", hidden=(4,), epochs=2, seeds=2)
    FolderLock(tmp_path / "out").release()
    assert caught.tb  # whose frames still have the study


def test_a_folder_for_temporary_files_that_is_full_is_named_and_nothing_is_left_in_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    scratch = re.escape(str(tmp_path / "temporary" / PREFIX))
    for size, told in (
        (0, rf"^{scratch}\w+: cannot be written to: File too large\. Make room, or name another folder .* TMPDIR\.$"),
        (1000, rf"^{scratch}\w+/0\.npz: File too large \(needed for {re.escape(str(tmp_path / 'out'))}\)\. Mend this"),
    ):
        with files_of_at_most(size), pytest.raises(StudyError, match=told):
            run_study(data, target="y", out=tmp_path / "out", hidden=(4,), epochs=2, seeds=2, jobs=2)
        assert not list((tmp_path / "temporary").iterdir())
    assert not (tmp_path / "out").exists()


def test_layers_that_no_memory_holds_are_refused_at_the_start(
    thinned: Thinned, tiny: list[str], tmp_path: Path
) -> None:
    for hidden in ("1000000000000", "300000,300000,300000"):
        result = thinned(*tiny, "--hidden", hidden, "-o", tmp_path / "out")
        assert_one_sentence(
            result, "`--hidden` must be layers that fit in memory", "GiB to train", "Pass smaller layers"
        )
        assert not (tmp_path / "out").exists()


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a disk without room")
def test_an_answer_that_can_not_be_printed_is_in_the_folder(tiny: list[str], tmp_path: Path) -> None:
    """On a full disk, to a reader that has gone, and without stdout. The first call trains, the others only answer."""
    command = f"exec {sys.executable} -c 'from thinned.cli import main; main()' {' '.join(tiny)} -o {tmp_path / 'out'}"
    for stdout, reason in (
        ("> /dev/full", "No space left"),
        (">&-", "stdout is closed"),
        (None, "its reader has gone"),
    ):
        if stdout is None:
            reading, writing = os.pipe()
            os.close(reading)
        else:
            writing = subprocess.DEVNULL
        done = subprocess.run(
            ["sh", "-c", f"{command} {stdout or ''}"], stdout=writing, stderr=subprocess.PIPE, text=True
        )
        assert done.returncode == 2, done.stderr
        assert f"the answer could not be printed: {reason}" in done.stderr
        assert "It is in" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert (tmp_path / "out" / "report.html").stat().st_size > 0


def test_a_file_whose_name_is_no_text_is_refused_at_the_start(
    thinned: Thinned, tiny: list[str], tmp_path: Path
) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")
    shutil.copy(tiny[1], path)
    result = thinned("study", path, *tiny[2:], "-o", tmp_path / "out")
    assert_one_sentence(result, "must be a name in UTF-8", "caf\\udce9.csv. Rename it")
    with pytest.raises(StudyError, match="must be a name in UTF-8"):
        run_study(path, target="y", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_folder_that_can_not_be_written_to_is_refused_before_anything_is_trained(
    thinned: Thinned, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinned.study.underway.range_test", None)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300), Path("/proc/nowhere")):
        assert_one_sentence(thinned(*tiny, "-o", out), str(out)[:60])


@pytest.mark.long
def test_names_with_signs_of_markup_formulas_and_control_end_no_study_and_format_nothing(
    thinned: Thinned, tmp_path: Path
) -> None:
    """The target, a column, a class and the file; a line end, a formula of LaTeX, markup, Korean, 2,000 letters."""
    x = np.random.default_rng(0).normal(size=(80, 3))
    names = ["[/b]", "a\nb $x_{$ \x1b[31m<i>", "\ubaa9\ud45c" + "n" * 2000]
    path = tmp_path / "[red]$^$.csv"
    frame = pd.DataFrame({names[1]: x[:, 0], names[2]: x[:, 1], names[0]: np.where(x[:, 0] > 0, "[/i]", "$\\frac{$")})
    frame.to_csv(path, index=False)
    options = "--hidden 4 --epochs 2 --seeds 2 --p 0.3 --weight-decay 0.5 --lr 0.01 --jobs 1"
    result = thinned("study", path, "--target", "[/b]", *options.split(), "-o", tmp_path / "[out]")
    assert result.exit_code == 0, result.output
    assert re.search(r"\[red\]\$\^\$\.csv: \d+ training", said(result))
    assert "a b $x_{$ \\x1b[31m<i> alone gives [/b] away" in said(result)
    assert "\x1b" not in result.output
    written = (tmp_path / "[out]" / "report.html").read_text(encoding="utf-8")
    assert "<i>" not in written
    page = html.unescape(written)
    assert all(name in page for name in (*names, "[/i]", path.name, "[out]"))
    model = load(tmp_path / "[out]")
    assert set(model.classes) == {"[/i]", "$\\frac{$"}
    assert model.columns == (names[1], names[2])
    assert len(model.predict(frame)) == 80
