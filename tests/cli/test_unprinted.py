"""An answer that can't be printed is one sentence and exit code 2, in every command; a reader that has gone is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = "import torch\n\ndef net():\n    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.2))\n"
BAD = """\
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        return F.dropout(x)
"""
LIVE = ("--input", "2x4")
FAST = {
    "check": ["check", "bad.py"],
    "check, as JSON": ["check", "--output-format", "json", "bad.py"],
    "check, a difference": ["check", "--diff", "bad.py"],
    "rules": ["rules"],
    "rule": ["rule", "THN101"],
    "help": ["check", "--help"],
    "version": ["--version"],
}
SLOW = {
    "inspect": ["inspect", "net:net", *LIVE],
    "plan": ["plan", "net:net", *LIVE],
    "check of a model": ["check", "--model", "net:net", *LIVE],
    "variants": ["variants"],
    "doctor": ["doctor"],
    "bench": ["bench", "--device", "cpu", "--sizes", "64", "--seconds", "0", "--dtype", "float32"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "bad.py").write_text(BAD)
    return tmp_path


def called(command: list[str], folder: Path, redirect: str = "", stdout: int = subprocess.DEVNULL) -> tuple[int, str]:
    """The exit code of a command, and what it says on stderr."""
    line = f"exec {sys.executable} -c 'from thinned.cli import main; main()' {' '.join(command)} {redirect}"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    return done.returncode, done.stderr


def assert_one_sentence(command: list[str], folder: Path, redirect: str, reason: str) -> None:
    code, said = called(command, folder, redirect)
    assert code == 2
    assert said.splitlines()[-1] == f"thinned: the answer could not be printed: {reason}."
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["check", "check, a difference", "rule"])
def test_a_full_disk(name: str, folder: Path) -> None:
    assert_one_sentence(FAST[name], folder, "> /dev/full", "No space left on device")


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", sorted({*FAST, *SLOW} - {"check", "check, a difference", "rule"}))
def test_a_full_disk_in_every_command(name: str, folder: Path) -> None:
    assert_one_sentence((FAST | SLOW)[name], folder, "> /dev/full", "No space left on device")


def test_a_closed_stdout(folder: Path) -> None:
    assert_one_sentence(FAST["check"], folder, ">&-", "stdout is closed")


@pytest.mark.long
@pytest.mark.parametrize("name", sorted({*FAST, *SLOW} - {"check"}))
def test_a_closed_stdout_in_every_command(name: str, folder: Path) -> None:
    assert_one_sentence((FAST | SLOW)[name], folder, ">&-", "stdout is closed")


def assert_no_error_without_a_reader(command: list[str], folder: Path, to_stderr: str = "") -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code, said = called(command, folder, stdout=writing)
    os.close(writing)
    assert code in (0, 1)
    assert said == to_stderr


def test_a_reader_that_has_gone(folder: Path) -> None:
    assert_no_error_without_a_reader(FAST["check"], folder)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted({*FAST, *SLOW} - {"check"}))
def test_a_reader_that_has_gone_in_every_command(name: str, folder: Path) -> None:
    to_stderr = "Would make 1 fix.\n" if name == "check, a difference" else ""
    assert_no_error_without_a_reader((FAST | SLOW)[name], folder, to_stderr)


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("form", ["csv", "json", "text"])
def test_predictions(finished: Path, rows: Path, folder: Path, form: str) -> None:
    command = ["predict", str(finished), str(rows), "--n", "2", "--format", form]
    assert_one_sentence(command, folder, "> /dev/full", "No space left on device")
    assert_one_sentence(command, folder, ">&-", "stdout is closed")
    assert_no_error_without_a_reader(command, folder)


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_files_on_a_full_disk(finished: Path, rows: Path, folder: Path) -> None:
    """What is asked for as a file is written through to a device, and fails in a sentence that names it."""
    bench = [*SLOW["bench"], "--csv", "/dev/full"]
    for command in (["predict", str(finished), str(rows), "--n", "2", "-o", "/dev/full"], bench):
        code, said = called(command, folder, ">&2")
        assert code == 2
        assert "/dev/full: No space left on device" in " ".join(said.split())
        assert "Traceback" not in said


@pytest.mark.long
def test_a_stderr_that_takes_nothing(folder: Path) -> None:
    code, said = called(FAST["check"], folder, "2>&-")
    assert (code, said) == (1, "")
    code, said = called(["check", "nowhere.py"], folder, "2> /dev/full")
    assert (code, said) == (2, "")
