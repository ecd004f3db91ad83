"""Every example runs as a reader would run it, uses public names only, and ends in figures that are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(path: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_uses_public_names(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 60
    assert not re.search(r"thinned[\w.]*\._|import _", source)


@pytest.mark.long
def test_drop_in() -> None:
    lines = run(ROOT / "examples" / "drop_in.py").splitlines()
    assert len(lines) == 4
    assert all(line.endswith("True") for line in lines)


@pytest.mark.long
def test_locked_lstm_learns() -> None:
    figures = [float(value) for value in re.findall(r"(\d\.\d\d) nats", run(ROOT / "examples" / "locked_lstm.py"))]
    assert len(figures) == 4
    assert figures[-1] < figures[0] - 1


@pytest.mark.long
def test_uncertainty() -> None:
    told = run(ROOT / "examples" / "uncertainty.py")
    assert len(told.splitlines()) == 5
    inside, everyone, surest = (float(share) for share in re.findall(r"([\d.]+) %(?! interval)", told))
    assert 88 < inside < 99
    assert 93 < everyone < surest
