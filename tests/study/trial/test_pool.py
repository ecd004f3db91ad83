"""Units in processes: whatever happens to one of them, the others have their results."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from thinned.study.trial.config import Level, Recipe, Unit
from thinned.study.trial.engine import Failed, Work
from thinned.study.trial.fold import Fold
from thinned.study.trial.pool import Pool, Spare

RECIPE = Recipe(0, (4,), 4, 100)
UNITS = [Unit(Level("dropout", p), (0.1,), (0, 1)) for p in (0.0, 0.1, 0.2, 0.3)]
BAD = UNITS[1]


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    rows = np.arange(3)
    for seed in (0, 1):
        x = np.full((3, 2), seed, dtype=np.float32)
        Fold(x, rows, x, rows, x, rows, rows, rows, 3).save(tmp_path / f"{seed}.npz")
    return tmp_path


def look(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe) -> tuple[float, list[float], int]:
    return unit.level.p, [float(fold.x_train[0, 0]) for fold in folds.values()], torch.get_num_threads()


def refuse(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe) -> float:
    if unit == BAD:
        raise OSError(28, "No space left on device")
    return unit.level.p


def die(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe) -> float:
    if unit == BAD:
        os.kill(os.getpid(), signal.SIGKILL)
    return unit.level.p


def die_once(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe) -> float:
    mark = Path(os.environ["THINNED_TEST_MARK"])
    if unit == BAD and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return unit.level.p


class Counted(Spare):
    """Spare work on some units, each of which is asked for again where it was lost."""

    def __init__(self, units: list[Unit], work: Work[object] = look) -> None:
        self.open, self.work, self.found, self.lost = list(units), work, dict[Unit, object](), 0

    def take(self) -> tuple[Work[object], Unit] | None:
        return (self.work, self.open.pop()) if self.open else None

    def give(self, unit: Unit, done: object) -> None:
        if done is None:
            self.lost += 1
            self.open.append(unit)
        else:
            self.found[unit] = done


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_every_unit_has_its_result_of_its_own_seeds_on_one_thread(folds: Path, jobs: int) -> None:
    with Pool(folds, RECIPE, jobs) as pool:
        found = dict(pool.map(look, UNITS))
        assert found == {unit: (unit.level.p, [0.0, 1.0], 1) for unit in UNITS}
        assert dict(pool.map(look, [])) == {}


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_an_exception_is_one_units_failure(folds: Path, jobs: int) -> None:
    with Pool(folds, RECIPE, jobs) as pool:
        found = dict(pool.map(refuse, UNITS))
    assert found.pop(BAD) == Failed(BAD, "OSError: [Errno 28] No space left on device")
    assert found == {unit: unit.level.p for unit in UNITS if unit != BAD}


@pytest.mark.long
def test_a_unit_whose_process_dies_twice_has_failed_and_no_other(folds: Path) -> None:
    with Pool(folds, RECIPE, jobs=2) as pool:
        found = dict(pool.map(die, UNITS))
    failed = found.pop(BAD)
    assert isinstance(failed, Failed)
    assert "ended from outside" in failed.reason
    assert found == {unit: unit.level.p for unit in UNITS if unit != BAD}


@pytest.mark.long
def test_a_process_that_is_killed_once_costs_nothing_but_time(
    folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINNED_TEST_MARK", str(tmp_path / "mark"))
    with Pool(folds, RECIPE, jobs=2) as pool:
        assert dict(pool.map(die_once, UNITS)) == {unit: unit.level.p for unit in UNITS}


@pytest.mark.long
def test_a_pool_that_was_left_half_way_can_be_used_again(folds: Path) -> None:
    with Pool(folds, RECIPE, jobs=2) as pool:
        next(pool.map(look, UNITS))
        pool.restart()
        assert len(dict(pool.map(look, UNITS))) == len(UNITS)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_spare_work_is_done_beside_units_or_at_the_end(folds: Path, jobs: int) -> None:
    spare = Counted(UNITS)
    with Pool(folds, RECIPE, jobs) as pool:
        assert dict(pool.map(refuse, UNITS[:1], spare=spare)) == {UNITS[0]: 0.0}
        begun = len(UNITS) - len(spare.open)
        assert bool(begun) == (jobs > 1)
        assert dict(pool.map(look, UNITS[1:3], spare=spare)).keys() == set(UNITS[1:3])
        pool.finish(spare)
    assert spare.found == {unit: (unit.level.p, [0.0, 1.0], 1) for unit in UNITS}
    assert spare.lost == 0


@pytest.mark.long
def test_spare_work_that_lost_its_process_is_done_again(
    folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINNED_TEST_MARK", str(tmp_path / "mark"))
    spare = Counted(UNITS, die_once)
    with Pool(folds, RECIPE, jobs=2) as pool:
        pool.finish(spare)
    assert spare.found == {unit: unit.level.p for unit in UNITS}
    assert spare.lost > 0
