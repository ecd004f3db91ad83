"""Studies of sets whose truth is known: what chapters and the answer say of them, through the public door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.study import run_study
from thinned.study.record import ChapterFigure, ChapterRecord, Study

pytestmark = pytest.mark.long
TINY: dict[str, Any] = {"target": "y", "seeds": 3, "ps": [0.5], "weight_decays": [0.5], "lrs": [0.01]}


def sequences(rows: int, seed: int) -> pd.DataFrame:
    """Sixty letters a row: fifty say nothing, and ten are of the class's own motif, each by seven chances in ten.

    A network learns 150 such rows by heart whatever its rate, and dropout keeps it from leaning on few letters.
    """
    rng = np.random.default_rng(seed)
    motifs = np.random.default_rng(3).integers(0, 4, (3, 10))
    kind, letters = rng.integers(0, 3, rows), rng.integers(0, 4, (rows, 60))
    own = letters[:, 25:35]
    there = rng.random(own.shape) < 0.7
    own[there] = motifs[kind][there]
    frame = pd.DataFrame(np.array(list("ACGT"))[letters], columns=[f"site{n}" for n in range(60)])
    return frame.assign(y=np.array(["a", "b", "c"])[kind])


def smooth(rows: int, seed: int) -> pd.DataFrame:
    """A smooth function of four numbers, without noise."""
    x = np.random.default_rng(seed).normal(size=(rows, 4))
    return pd.DataFrame(x, columns=list("abcd")).assign(y=x[:, 0] + x[:, 1] * x[:, 2])


def files(folder: Path, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    found = {"data": folder / "data.csv", "test": folder / "test.csv"}
    train.to_csv(found["data"], index=False)
    test.to_csv(found["test"], index=False)
    return found | {"out": folder / "out"}


def told(study: Study, name: str) -> ChapterRecord:
    assert not study.failures
    return next(chapter for chapter in study.chapters if chapter.name == name)


def shown(found: ChapterFigure | None, series: str, name: str) -> float:
    """A figure's value at a name."""
    assert found is not None
    own = next(one for one in found.series if one.name == series)
    return next(point.value for point in own.points if found.names[round(point.x)] == name)


@pytest.mark.usefixtures("undrawn")
def test_where_half_dropped_helps_the_answer_and_how_much_say_so(tmp_path: Path) -> None:
    data = files(tmp_path, sequences(200, 1), sequences(1000, 50))
    settings: dict[str, Any] = {"ps": [0.5], "weight_decays": [0.5], "lrs": [0.001, 0.003], "hidden": [256]}
    found = run_study(**data, target="y", seeds=4, epochs=150, chapters="how-much", **settings)
    assert found.headline.startswith("Use dropout at p = 0.5")
    assert "it lowers the test error" in found.headline
    assert any(words.startswith("Compared with p = 0: p = 0.5 lowers the test error, by") for words in found.words)
    words = told(found, "how-much").words[0]
    assert words.startswith("Dropout of p = 0.5, of the rates above 0 the best by validation, lowers the test error")


@pytest.mark.usefixtures("undrawn")
def test_where_dropout_costs_it_is_said_to(tmp_path: Path) -> None:
    """Numbers without noise and eight units: there is nothing to overfit, and no unit to spare."""
    data = files(tmp_path, smooth(200, 0), smooth(300, 1))
    found = run_study(**data, **TINY | {"lrs": [0.01, 0.03]}, hidden=[8], epochs=70, chapters="how-much")
    words = told(found, "how-much").words[0]
    assert words.startswith("Dropout of p = 0.5, of the rates above 0 the best by validation, raises the RMSE against")
    assert not any("lowers the RMSE" in words for words in found.words)


@pytest.mark.usefixtures("undrawn")
def test_the_variance_shift_of_batch_norm_is_where_the_formula_puts_it(tmp_path: Path) -> None:
    data = files(tmp_path, smooth(150, 0), smooth(300, 1))
    found = run_study(**data, **TINY, hidden=[32, 32], epochs=16, chapters="normalisation")
    chapter = told(found, "normalisation")
    (shift,) = chapter.more
    assert shift.names == ["before, norm 1", "before, norm 2", "behind, norm 2"]
    for name in shift.names:
        measured, formula = shown(shift, "measured", name), shown(shift, "formula", name)
        assert measured < 0.9
        assert measured == pytest.approx(formula, rel=0.1 if name == "before, norm 1" else 0.3)  # noise from in front
    words = next(words for words in chapter.words if words.startswith("With dropout before the batch norms"))
    assert f"is, over that in training, {shown(shift, 'measured', 'before, norm 1'):.2f} at norm 1" in words
    assert any("`recalibrate_batchnorm` (dropout before the norms)" in words for words in chapter.words)


@pytest.mark.usefixtures("undrawn")
def test_forms_are_judged_at_the_rate_that_validation_chose(tmp_path: Path) -> None:
    data = files(tmp_path, smooth(100, 0), smooth(100, 1))
    found = run_study(**data, **TINY | {"seeds": 2}, hidden=[16], epochs=16, chapters="forms")
    chapter = told(found, "forms")
    assert chapter.figure is not None
    (choice,) = chapter.more
    assert [series.name for series in choice.series] == [
        "standard dropout", "Gaussian dropout", "DropConnect", "alpha dropout with SELU",
    ]  # fmt: skip
    for series in choice.series:
        best = min(series.points, key=lambda point: point.value).x
        assert f"{series.name}, p = {best:g}" in chapter.figure.names
        assert any(f"{series.name} (p = {best:g}" in words or "chose none" in words for words in chapter.words)
    assert "Not tried, for want of a place: spatial dropout" in chapter.words[-1]


@pytest.mark.usefixtures("undrawn")
def test_other_networks_have_their_own_forms_and_schedules(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (80, 8, 8)).astype(np.uint8)
    pictures[40:, :4] //= 3
    np.savez(tmp_path / "set.npz", images=pictures, labels=np.repeat([0, 1], 40))
    settings: dict[str, Any] = {"seeds": 2, "ps": [0.5], "weight_decays": [0.5], "lrs": [0.01], "epochs": 2}
    found = run_study(
        tmp_path / "set.npz",
        out=tmp_path / "out",
        network="cnn",
        hidden=[4, 4],
        chapters=["forms", "schedules"],
        **settings,
    )
    assert "spatial dropout: whole maps" in told(found, "forms").words[-1]
    assert "stochastic depth: residual branches" in told(found, "forms").words[-1]
    assert len(told(found, "schedules").arms) == 9


@pytest.mark.usefixtures("undrawn")
def test_schedules_have_equal_budgets_and_name_what_validation_chose(tmp_path: Path) -> None:
    data = files(tmp_path, smooth(100, 0), smooth(100, 1))
    found = run_study(**data, **TINY | {"seeds": 2}, hidden=[16], epochs=16, chapters="schedules")
    chapter = told(found, "schedules")
    assert chapter.figure is not None
    assert chapter.arms[:5] == ["neither", *(f"{name}, p = 0.3" for name in SCHEDULED)]  # the study chose none
    for name, words in zip(SCHEDULED[1:], chapter.words[2:], strict=False):
        assert name in words.lower()
        assert "a constant p = 0.3" in words
    for kind in ("max-norm", "weight decay", "dropout and max-norm", "dropout and weight decay"):
        assert any(name.startswith(kind) for name in chapter.figure.names)


SCHEDULED = ["dropout", "early dropout", "late dropout", "curriculum"]


def test_pictures_have_their_first_layer_shown_and_ensembles_their_calibration(tmp_path: Path) -> None:
    """Pictures whose class is the brightness of one half: the weights of a half are alike, and so are neighbours'."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 128, (160, 8, 8))
    pictures[::2, :, :4] += 60
    np.savez(tmp_path / "set.npz", images=pictures.astype(np.uint8), labels=np.arange(160) % 2)
    found = run_study(
        tmp_path / "set.npz",
        out=tmp_path / "out",
        chapters=["reliance", "ensemble"],
        seeds=2,
        ps=[0.5],
        weight_decays=[0.5],
        lrs=[0.01],
        hidden=[16],
        epochs=20,
    )
    reliance = told(found, "reliance")
    (figure,) = reliance.more
    assert [(arm.name, arm.width, len(arm.units)) for arm in figure.pictures] == [("p = 0", 8, 12), ("p = 0.5", 8, 12)]
    assert all(len(unit) == 64 and max(map(abs, unit)) == 1 for arm in figure.pictures for unit in arm.units)
    assert any("the mean correlation of neighbouring pixels' weights" in words for words in reliance.words)
    ensemble = told(found, "ensemble")
    (calibration,) = ensemble.more
    assert calibration.y_title == "test NLL (nats a row)"  # of 32 test rows an ECE is chance
    assert all("Brier score" in words for words in ensemble.words)
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="figure-chapter-reliance-2"' in page
    assert 'id="figure-chapter-ensemble-2"' in page
