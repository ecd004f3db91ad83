"""The other models' answers on record: the same to the bit, or fitted again."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from thinned.study import StudyError, StudyWarning
from thinned.study.keep.other_answers import OtherAnswers
from thinned.study.trial.baseline import Answers

MADE = {"study": "1", "scikit-learn": "1.6"}


def one(name: str, rows: int) -> Answers:
    values = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    return Answers(name, values, -values[:3], {"alpha": 0.1} if name == "linear" else {}, 0.25)  # type: ignore[arg-type]


ANSWERS = [one("constant", 4), one("linear", 5)]


def test_what_was_written_is_read_to_the_bit(tmp_path: Path) -> None:
    kept = OtherAnswers(tmp_path, MADE)
    assert kept.read(0) is None
    kept.write(0, ANSWERS)
    found = OtherAnswers(tmp_path, dict(MADE)).read(0)
    assert found is not None
    for before, after in zip(ANSWERS, found, strict=True):
        assert (before.name, before.settings, before.seconds) == (after.name, after.settings, after.seconds)
        assert np.array_equal(before.val_output, after.val_output)
        assert np.array_equal(before.test_output, after.test_output)
        assert after.val_output.dtype == np.float32


def test_answers_made_otherwise_count_as_not_there(tmp_path: Path) -> None:
    OtherAnswers(tmp_path, MADE).write(0, ANSWERS)
    assert OtherAnswers(tmp_path, MADE | {"scikit-learn": "1.7"}).read(0) is None
    assert OtherAnswers(tmp_path, MADE | {"study": "2"}).read(0) is None
    shutil.copy(tmp_path / "others" / "seed-0.npz", tmp_path / "others" / "seed-1.npz")
    assert OtherAnswers(tmp_path, MADE).read(1) is None


def test_a_changed_byte_anywhere_is_said_or_changes_no_answer(tmp_path: Path) -> None:
    kept = OtherAnswers(tmp_path, MADE)
    kept.write(0, ANSWERS)
    path = tmp_path / "others" / "seed-0.npz"
    sound = path.read_bytes()
    said = 0
    for place in range(0, len(sound), 7):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 255]) + sound[place + 1 :])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = kept.read(0)
        assert [warning.category for warning in told] == ([StudyWarning] if found is None else [])
        if found is not None:  # a byte that says nothing, such as the archive's date
            assert [answer.name for answer in found] == ["constant", "linear"]
            assert np.array_equal(found[1].val_output, ANSWERS[1].val_output)
        said += found is None
    assert said > len(sound) / 14
    path.write_bytes(sound[:40])
    with pytest.warns(StudyWarning, match="seed-0.npz is damaged"):
        assert kept.read(0) is None


def test_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "others").write_text("a file")
    with pytest.raises(StudyError, match="Nothing that was recorded before is lost"):
        OtherAnswers(tmp_path, MADE).write(0, ANSWERS)
