"""The weights of networks to take away on record: the same to the bit, or trained again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.keep.conftest import Made

from thinned.study import StudyError, StudyWarning
from thinned.study.keep.recorded_weights import RecordedWeights
from thinned.study.trial.config import Unit
from thinned.study.trial.outcome import Weights

WEIGHTS: Weights = {"0.weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "1.seen": np.array(7)}


def same(found: Weights | None) -> bool:
    assert found is not None
    return found.keys() == WEIGHTS.keys() and all(
        np.array_equal(value, found[name]) and value.dtype == found[name].dtype for name, value in WEIGHTS.items()
    )


def test_what_was_kept_is_read_to_the_bit_and_all_else_is_removed(
    tmp_path: Path, made: Made, units: list[Unit]
) -> None:
    finished = {outcome.config: outcome for outcome in made(units[0])}
    first, second, third = list(finished)[:3]
    kept = RecordedWeights(tmp_path)
    assert kept.read(finished[first]) is None
    kept.keep(finished, {first: WEIGHTS, second: WEIGHTS})
    kept = RecordedWeights(tmp_path)
    assert same(kept.read(finished[first]))
    assert kept.read(finished[third]) is None
    kept.keep(finished, {first: WEIGHTS, third: WEIGHTS})
    kept = RecordedWeights(tmp_path)
    assert [same(kept.read(finished[config])) for config in (first, third)] == [True, True]
    assert kept.read(finished[second]) is None
    assert len([*(tmp_path / "weights").iterdir()]) == 2


def test_weights_of_a_run_that_answers_otherwise_are_not_its_weights(
    tmp_path: Path, made: Made, units: list[Unit]
) -> None:
    outcome = made(units[1])[0]
    RecordedWeights(tmp_path).keep({outcome.config: outcome}, {outcome.config: WEIGHTS})
    other = replace(outcome, test_output=np.nextafter(outcome.test_output, np.float32(9)))
    assert RecordedWeights(tmp_path).read(other) is None
    assert same(RecordedWeights(tmp_path).read(replace(outcome, seconds=9.0)))


def test_a_damaged_file_is_said_and_written_anew(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    outcome = made(units[1])[0]
    RecordedWeights(tmp_path).keep({outcome.config: outcome}, {outcome.config: WEIGHTS})
    [path] = (tmp_path / "weights").iterdir()
    sound = path.read_bytes()
    at = sound.index(WEIGHTS["0.weight"].tobytes())
    path.write_bytes(sound[:at] + b"\x01" + sound[at + 1 :])
    kept = RecordedWeights(tmp_path)
    with pytest.warns(StudyWarning, match=r"seed0-\w+\.npz is damaged .* so this network is trained again"):
        assert kept.read(outcome) is None
    kept.keep({outcome.config: outcome}, {outcome.config: WEIGHTS})
    assert same(RecordedWeights(tmp_path).read(outcome))


def test_a_folder_that_takes_nothing(tmp_path: Path, made: Made, units: list[Unit]) -> None:
    outcome = made(units[1])[0]
    (tmp_path / "weights").write_text("a file")
    with pytest.raises(StudyError, match="Nothing that was recorded before is lost"):
        RecordedWeights(tmp_path).keep({outcome.config: outcome}, {outcome.config: WEIGHTS})
