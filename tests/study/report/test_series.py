"""The numbers behind the figures agree with the records, and the figures claim no more than their numbers hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from thinned.study.report import (
    figure_activity,
    figure_grid,
    figure_learning,
    figure_level,
    figure_range,
    figure_thinned,
)
from thinned.study.report.picture import Picture
from thinned.study.report.records import Records
from thinned.study.report.series import active, best_states, curve, excess, grid, places, raced
from thinned.study.report.units import Units


@pytest.fixture(scope="module")
def records(records_of: Callable[[str], Records]) -> Records:
    return records_of("dropout helps")


def test_an_ended_run_stays_at_its_last_value(records: Records) -> None:
    assert records.study.noisy is not None
    runs = records.runs_of(records.study.noisy)["run"]
    first = runs.iloc[0]
    cut = records.curves[~((records.curves["run"] == first) & (records.curves["step"] > 1000))]
    frame = curve(replace(records, curves=cut), records.study.noisy)
    assert frame["running"].iloc[-1] == len(runs) - 1
    last = [cut[cut["run"] == run]["val_nll"].iloc[-1] for run in runs]
    assert frame["val_nll_mean"].iloc[-1] == pytest.approx(np.mean(last), rel=1e-12)
    assert (frame["val_nll_low"] <= frame["val_nll_mean"]).all()


def test_dots_are_the_states_that_runs_keep(records: Records) -> None:
    assert records.study.plain is not None
    runs = records.runs_of(records.study.plain)
    dots = best_states(records, records.study.plain)
    assert sorted(dots["step"]) == sorted(runs["best_step"])
    np.testing.assert_allclose(
        excess(records, records.study.plain, "error"), runs["val_error"] - runs["train_error"], rtol=1e-12
    )


def test_arms_of_equal_p_are_not_mixed(records: Records) -> None:
    for level in records.study.levels:
        runs = records.runs_of(level)
        assert len(runs) == level.seeds
        assert set(runs["arm"]) == {level.arm}


def test_neighbouring_rates_do_not_collide(records: Records) -> None:
    found = sorted(places(records).values())
    assert set(np.diff(found)) == {1.0}


def test_the_grid_compares_rates_on_the_same_seeds(records: Records) -> None:
    runs = records.runs[
        ~((records.runs["seed"] == 2) & ~records.runs["chosen_lr"])
    ]  # seed 2 has the chosen rates alone
    table = grid(replace(records, runs=runs))
    dropout = runs[(runs["arm"] == "dropout") & (runs["seed"] < 2)]
    for column, p in enumerate(table.columns):
        for row, lr in enumerate(table.index):
            part = dropout[(dropout["p"] == p) & (dropout["lr"] == lr)]
            assert table.iloc[row, column] == pytest.approx(part["val_loss"].mean(), rel=1e-12)
    assert records.study.plain is not None
    assert table[0.0].idxmin() == records.study.plain.lrs[0]


def test_the_grid_tells_left_early_never_run_and_diverged_apart(records: Records) -> None:
    table, runs = grid(records), records.runs
    early = raced(records, table)
    dropout = runs[runs["arm"] == "dropout"]
    for row, lr in enumerate(table.index):
        for column, p in enumerate(table.columns):
            ended = dropout[(dropout["lr"] == lr) & (dropout["p"] == p)]["ended"]
            assert early[row, column] == ((ended == "raced").mean() > 0.5)
    assert early.any()
    cell = (runs["lr"] == 0.01) & (runs["p"] == 0.4) & (runs["arm"] == "dropout")
    assert np.isnan(grid(replace(records, runs=runs[~cell]))[0.4].loc[0.01])
    broken = runs.copy()
    broken.loc[runs.index[cell][0], "val_loss"] = np.inf
    codes = figure_grid.steps(grid(replace(records, runs=broken)))
    row, column = list(table.index.to_numpy(float)).index(0.01), list(table.columns.to_numpy(float)).index(0.4)
    assert int(codes[row, column]) == figure_grid.DIVERGED


def test_colours_of_the_grid_follow_the_values() -> None:
    table = pd.DataFrame([[0.1, 0.11, 0.2], [0.9, 0.9, np.nan]], index=[0.1, 1.0], columns=[0.0, 0.1, 0.5])
    np.testing.assert_array_equal(figure_grid.steps(table), [[8, 8, 4], [0, 0, -1]])


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([0.10, 0.12], [0.04, 0.06], "Dropout narrows validation minus training error from 11.0 points to 5.0 points"),
        ([0.02, 0.03], [0.04, 0.06], "Dropout widens validation minus training error from 2.5 points to 5.0 points"),
        ([0.10, 0.12], [0.04, 0.11], "in the state kept: 11.0 points without dropout, 7.5 points with it"),
        ([0.10], [0.04], "in the state kept: 10.0 points without dropout"),
        ([0.1, 0.10002], [0.09998, 0.09999], "in the state kept: 10.0 points without dropout, 10.0 points with it"),
    ],
)
def test_a_change_is_claimed_only_where_seeds_do_not_overlap(
    records: Records, first: list[float], second: list[float], words: str
) -> None:
    arms = figure_learning.arms(records, Units.error(records.study), "error")
    shown = [replace(arm, excess=np.array(value)) for arm, value in zip(arms, (first, second), strict=True)]
    title = figure_learning.excess_finding(shown)
    assert words in title.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 0.5, 0.6, 0.7], "rises again after step 20 at"),
        ([1.0, 0.5, 0.505], "ends within 2 % of its lowest"),
        ([-1.0, -1.5, -1.2], "rises again after step 20 at"),
    ],
)
def test_a_rising_likelihood_is_claimed_only_where_it_rises(
    records: Records, values: list[float], words: str
) -> None:  # fmt: skip
    arm = figure_learning.arms(records, Units.error(records.study), "nll")[0]
    frame = pd.DataFrame({"val_nll_mean": values}, index=[10 * (i + 1) for i in range(len(values))])
    title = figure_learning.turn_finding([replace(arm, frame=frame)])
    assert words in title.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("dropout helps", "Test error falls from 8.0 % at p = 0 to 6.0 % at p = 0.5"),
        ("dropout hurts", "Test error rises from"),
        ("unclear", "Test error shows no clear difference: 8.0 % at p = 0, 8.3 % at p = 0.3"),
        ("level", "Test error shows no clear difference"),
        ("interrupted", "Test error at p = 0: 8.0 %"),
    ],
)
def test_the_error_figure_says_what_the_difference_says(
    records_of: Callable[[str], Records], case: str, words: str
) -> None:  # fmt: skip
    found = records_of(case)
    picture = figure_level.picture(found, Units.deciding(found.study))
    assert picture.title.replace("\N{NO-BREAK SPACE}", " ").startswith(words)


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({0.0: [0.1], 0.5: [0.1]}, "the same learning rate, 0.1, at every p"),
        ({0.0: [0.1], 0.2: [0.1], 0.5: [0.03]}, "falls from 0.1"),
        ({0.0: [0.01], 0.5: [0.03]}, "rises from 0.01"),
        ({0.0: [0.1], 0.2: [0.03], 0.5: [0.1]}, "between 0.03 and 0.1, in no order"),
        ({0.0: [0.1, 0.03], 0.5: [0.1, 0.1]}, "lie between 0.03 and 0.1"),
        ({0.5: [0.03]}, "validation chose the learning rate 0.03"),
    ],
)
def test_the_grid_says_how_the_chosen_rate_moves(rates: dict[float, list[float]], words: str) -> None:
    assert words in figure_grid.finding(rates)


def test_the_range_test_says_where_training_diverges(records: Records) -> None:
    assert (
        figure_range.finding(records) == "Training diverges from a learning rate of 0.1 on; 0.0003 to 0.01 were tried"
    )
    never = replace(records, study=records.study.model_copy(update={"diverges_at": None, "lrs": [0.01]}))
    assert figure_range.finding(never) == "Training does not diverge up to a learning rate of 1; 0.01 was used"


def test_dropped_and_zero_are_told_apart(records: Records) -> None:
    found = records.activations
    assert found is not None
    whole, thinned = figure_thinned.codes(found)
    part = slice(figure_thinned.ROWS), figure_thinned.busiest_units(found)
    alive = found.mask[part]
    np.testing.assert_array_equal(thinned == figure_thinned.DROPPED, ~alive)
    np.testing.assert_array_equal(whole == figure_thinned.ZERO, found.whole[part] == 0)
    np.testing.assert_array_equal((thinned == figure_thinned.ZERO)[alive], (found.thinned[part] == 0)[alive])
    assert (thinned[alive] >= whole[alive]).all()  # units that stay are scaled up, on one scale


def test_the_activity_figure_counts_active_units(records: Records) -> None:
    found = records.activations
    assert found is not None
    picture = figure_activity.picture(found)
    assert isinstance(picture, Picture)
    shares = [np.count_nonzero(array > 0) / array.size for array in (found.whole, found.plain)]
    assert [active(found.whole), active(found.plain)] == shares
    words = [f"{100 * share:.0f} %" for share in shares]
    title = picture.title.replace("\N{NO-BREAK SPACE}", " ")
    assert title == f"{words[0]} of hidden units are active with dropout, {words[1]} without"
