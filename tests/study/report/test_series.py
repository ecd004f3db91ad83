"""The numbers behind the figures agree with the records, and the figures claim no more than their numbers hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thinned.study.report import figure_activity, figure_grid, figure_learning, figure_level, figure_thinned
from thinned.study.report.picture import Picture
from thinned.study.report.records import Records, read
from thinned.study.report.series import active, curve, gaps, grid, levels, seeds
from thinned.study.report.units import Units


@pytest.fixture(scope="module")
def records(digits: Path) -> Records:
    return read(digits)


@pytest.fixture(scope="module")
def units(records: Records) -> Units:
    return Units.of(records.study)


def test_levels_are_the_means_of_their_seeds(records: Records) -> None:
    table, dots = levels(records), seeds(records)
    assert list(table["p"]) == records.study.ps
    means = dots.groupby("p")["test_error"].mean()
    np.testing.assert_allclose(table.set_index("p")["test_error"], means, rtol=1e-12)
    assert len(dots) == len(records.study.ps) * records.study.seeds


def test_a_curve_ends_where_its_trials_end(records: Records) -> None:
    for level in [records.plain, records.noisy, records.l2]:
        assert level is not None
        frame = curve(records, level)
        runs = records.runs(level)
        assert list(frame.index) == list(range(1, int(runs["epochs"].iloc[0]) + 1))
        assert set(frame["seeds"]) == {level.seeds}
        for measure in ("train_error", "val_error", "train_nll", "val_nll"):
            last = frame[f"{measure}_mean"].iloc[-1]
            assert last == pytest.approx(runs[measure].mean(), rel=1e-12)
            assert last == pytest.approx(getattr(level, measure), rel=1e-12)
            assert (frame[f"{measure}_low"] <= frame[f"{measure}_high"]).all()
        np.testing.assert_allclose(gaps(records, level, "nll").mean(), level.val_nll - level.train_nll, rtol=1e-9)


def test_the_l2_arm_is_not_mistaken_for_p_0(records: Records) -> None:
    assert records.plain is not None
    assert records.l2 is not None
    assert set(records.runs(records.plain)["arm"]) == {"dropout"}
    assert set(records.runs(records.l2)["arm"]) == {"l2"}


def test_the_grid_compares_rates_on_the_same_seeds(records: Records) -> None:
    table = grid(records)
    dropout = records.trials[records.trials["arm"] == "dropout"]
    assert dropout.groupby(["p", "lr"]).size().nunique() > 1  # the chosen rates have more seeds than the others
    for p in records.study.ps:
        for lr, part in dropout[(dropout["p"] == p) & dropout["seed"].isin([0, 1])].groupby("lr"):
            assert table[p].loc[lr] == pytest.approx(part["val_loss"].mean(), rel=1e-12)
        level = records.level(p)
        assert level is not None
        assert table[p].idxmin() == level.lr


def test_the_grid_tells_never_run_from_diverged(records: Records) -> None:
    table, trials = grid(records), records.trials
    lr = float(table.index[table[0.6].notna()][0])
    cell = (trials["lr"] == lr) & (trials["p"] == 0.6) & (trials["arm"] == "dropout")
    assert np.isfinite(table[0.6].loc[lr])
    assert np.isnan(grid(replace(records, trials=trials[~cell]))[0.6].get(lr, np.nan))
    broken = trials.copy()
    broken.loc[trials.index[cell][0], "val_loss"] = np.inf
    diverged = grid(replace(records, trials=broken))
    codes = figure_grid.steps(diverged)
    assert np.isinf(diverged[0.6].loc[lr])
    assert codes[list(table.index).index(lr), 2] == figure_grid.DIVERGED
    assert codes.ravel()[np.nanargmin(diverged.to_numpy())] == 8
    assert set(codes[table.isna().to_numpy()]) == {figure_grid.NEVER}


def test_colours_of_the_grid_follow_the_values() -> None:
    table = pd.DataFrame([[0.1, 0.11, 0.2], [0.9, 0.9, np.nan]], index=[0.1, 1.0], columns=[0.0, 0.1, 0.5])
    np.testing.assert_array_equal(figure_grid.steps(table), [[8, 8, 4], [0, 0, -1]])


def test_where_validation_chose_p_0_the_best_other_p_stands_for_dropout(records: Records) -> None:
    plain = replace(records, study=records.study.model_copy(update={"best_p": 0.0}))
    best = min((x for x in records.study.levels if x.p > 0), key=lambda x: x.val_loss)
    assert plain.noisy == best


def test_a_narrower_gap_is_claimed_only_where_seeds_do_not_overlap(records: Records, units: Units) -> None:
    def title(first: list[float], second: list[float]) -> str:
        arms = figure_learning.arms(records, units, "error")
        shown = [replace(arm, gaps=np.array(gaps)) for arm, gaps in zip(arms, (first, second), strict=True)]
        return figure_learning._gap_finding(shown).replace("\N{NO-BREAK SPACE}", " ")

    assert title([0.10, 0.12], [0.04, 0.06]) == "Dropout narrows the overfitting gap from 11.0 to 5.0 points"
    assert title([0.02, 0.03], [0.04, 0.06]) == "Dropout widens the overfitting gap from 2.5 to 5.0 points"
    assert title([0.10, 0.12], [0.04, 0.11]).startswith("The overfitting gap ends at 11.0 points without")
    assert title([0.10], [0.04]).startswith("The overfitting gap ends at")


def test_a_rising_likelihood_is_claimed_only_where_it_rises(records: Records, units: Units) -> None:
    arm = figure_learning.arms(records, units, "nll")[0]

    def title(values: list[float]) -> str:
        frame = pd.DataFrame({"val_nll_mean": values}, index=range(1, len(values) + 1))
        return figure_learning._turn_finding([replace(arm, frame=frame)])

    assert title([1.0, 0.5, 0.6, 0.7]).startswith("Validation NLL rises again after epoch 2")
    assert title([1.0, 0.5, 0.505]) == "Validation NLL does not turn up again"
    assert title([-1.0, -1.5, -1.2]).startswith("Validation NLL rises again after epoch 2")


@pytest.mark.parametrize(
    ("verdict", "words"), [("helps", "falls from"), ("hurts", "rises from"), ("no difference", "no clear difference")]
)
def test_the_error_figure_says_what_the_verdict_says(records: Records, units: Units, verdict: str, words: str) -> None:
    study = records.study.model_copy(update={"verdict": verdict})
    picture = figure_level.picture(replace(records, study=study), units, "error")
    assert words in picture.title


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({0.0: 0.1, 0.5: 0.1}, "the same learning rate, 0.1, at every p"),
        ({0.0: 0.1, 0.2: 0.1, 0.5: 0.03}, "falls from 0.1"),
        ({0.0: 0.01, 0.5: 0.03}, "rises from 0.01"),
        ({0.0: 0.1, 0.2: 0.03, 0.5: 0.1}, "between 0.03 and 0.1, in no order"),
        ({0.5: 0.03}, "validation chose the learning rate 0.03"),
    ],
)
def test_the_grid_says_how_the_chosen_rate_moves(rates: dict[float, float], words: str) -> None:
    assert words in figure_grid._finding(rates)


def test_dropped_and_zero_are_told_apart(records: Records) -> None:
    found = records.activations
    assert found is not None
    whole, thinned = figure_thinned.codes(found)
    part = slice(figure_thinned.ROWS), figure_thinned.busiest_units(found)
    kept = found.mask[part]
    np.testing.assert_array_equal(thinned == figure_thinned.DROPPED, ~kept)
    np.testing.assert_array_equal(whole == figure_thinned.ZERO, found.whole[part] == 0)
    np.testing.assert_array_equal((thinned == figure_thinned.ZERO)[kept], (found.thinned[part] == 0)[kept])
    assert (thinned[kept] >= whole[kept]).all()  # kept units are scaled up, on one scale


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
