"""What a finished trial of a chapter has left is taken as it was written, or the trial is run again."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from thinned.study.chapters.results import FOLDER, TrialFiles
from thinned.study.chapters.trial import Trial
from thinned.study.error import StudyWarning
from thinned.study.trial.config import Recipe

TRIAL = Trial("where", "inputs", 0.001, (0, 1), (("p", 0.2),))
FIGURES = {"loss": [0.25, 0.5], "error": [0.125, 1e-300]}


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    found = TrialFiles(tmp_path / FOLDER, Recipe(0, (4,), 8, 100))
    found.add(TRIAL, FIGURES)
    return found


def test_figures_come_back_to_the_bit(files: TrialFiles) -> None:
    assert files.read(TRIAL) == FIGURES


def test_no_changed_byte_gives_other_figures(files: TrialFiles, tmp_path: Path) -> None:
    [path] = (tmp_path / FOLDER).iterdir()
    content = path.read_bytes()
    for place in range(len(content) - 1):  # the last is a line end
        for bit in (1, 4):
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", StudyWarning)
                assert files.read(TRIAL) in (None, FIGURES)


@pytest.mark.parametrize("content", ["", "[]", "3", "[" * 100_000, "{}", "\ufeff{}", '{"recipe"', "null"])
def test_what_is_damaged_is_said_in_a_line_and_run_again(files: TrialFiles, tmp_path: Path, content: str) -> None:
    [path] = (tmp_path / FOLDER).iterdir()
    path.write_text(content)
    with pytest.warns(StudyWarning, match=r"is damaged \(.+\), so its trial is run again\.$"):
        assert files.read(TRIAL) is None


def test_a_folder_in_the_place_of_the_file_is_said(files: TrialFiles, tmp_path: Path) -> None:
    [path] = (tmp_path / FOLDER).iterdir()
    path.unlink()
    path.mkdir()
    with pytest.warns(StudyWarning, match="it must be a regular file, and is a folder"):
        assert files.read(TRIAL) is None
