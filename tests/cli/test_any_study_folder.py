"""Whatever happens to a file of a study's folder: `load` says which, and the next call ends with the same numbers."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.by_chance import fuzzed
from tests.cli.awkward import a_minute_at_most, assert_an_answer_or_a_sentence, damaged
from tests.cli.finished import OPTIONS, numbers
from typer.testing import Result

from thinned.study import load
from thinned.study.error import UnreadableError

Thinned = Callable[..., Result]
pytestmark = pytest.mark.long


def happen(folder: Path, chance: random.Random) -> None:
    """Something happens to one or two files: a change of bytes, or in their place something that is no file."""
    for _ in range(chance.choice((1, 1, 2))):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".png")
        path = chance.choice(files)
        match chance.randrange(12):
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(b"")
            case 2:
                path.unlink()
                path.mkdir()
            case 3:
                path.unlink()
                os.mkfifo(path)
            case 4:
                path.unlink()
                path.symlink_to(path)
            case 5:
                path.write_bytes(chance.choice(files).read_bytes())
            case _:
                path.write_bytes(damaged(path.read_bytes(), chance))


@given(seed=st.integers(0, 2**32))
@fuzzed(150)
def test_networks_are_loaded_or_refused(finished: Path, tmp_path: Path, seed: int) -> None:
    folder, chance = tmp_path / "study", random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("config.toml", "networks.safetensors"):
        content = (finished / name).read_bytes()
        (folder / name).write_bytes(damaged(content, chance) if chance.random() < 0.6 else content)
    with a_minute_at_most():
        said = str(folder)
        try:
            load(folder)
        except UnreadableError as error:
            said = str(error)
        assert str(folder) in said


@given(seed=st.integers(0, 2**32))
@fuzzed(20)
def test_the_next_call_ends_with_the_same_numbers(
    thinned: Thinned, rows: Path, finished: Path, tmp_path: Path, undrawn: None, seed: int
) -> None:
    folder, chance = tmp_path / "study", random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(finished, folder)
    happen(folder, chance)
    result = assert_an_answer_or_a_sentence(
        lambda: thinned("study", rows, *OPTIONS, "--jobs", "1", "-o", folder), rows.parent
    )
    if result.exit_code == 0:
        assert numbers(folder) == numbers(finished)
    else:
        assert str(folder) in " ".join(result.output.split())


@pytest.mark.parametrize("name", ["journal.json", "study.json", "report.html", "config.toml"])
def test_a_fifo_among_a_study_s_files_is_not_waited_for(
    name: str, thinned: Thinned, rows: Path, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished, folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with a_minute_at_most():
        result = thinned("study", rows, *OPTIONS, "--jobs", "1", "-o", folder)
    assert result.exit_code == 2
    said = "".join(result.output.split())
    assert f"/{name}:" in said
    assert "ThisisaFIFO." in said
