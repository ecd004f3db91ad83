"""What chapters say, through the public door, on sets whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.study import StudyError, run_study
from thinned.study.chapters.table import CHAPTERS as TABLE
from thinned.study.error import StudyWarning
from thinned.study.options import ANY_NETWORK_CHAPTERS, CHAPTERS, DEFAULT_CHAPTERS, StudyOptions
from thinned.study.record import ChapterRecord, Study
from thinned.study.trial.pool import Pool

SMALL: dict[str, Any] = {
    "target": "y", "seeds": 4, "ps": [0.5], "weight_decays": [0.5], "hidden": [16], "epochs": 30, "lrs": [0.01],
}  # fmt: skip


def table(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    frame = pd.DataFrame(x, columns=[f"f{n}" for n in range(x.shape[1])])
    frame["y"] = y
    frame.to_csv(path, index=False)
    return path


def dominant(folder: Path, rows: int = 160) -> dict[str, Any]:
    """Training and test rows in which one feature decides, and seven say nothing."""
    found: dict[str, Any] = {}
    for seed, name in enumerate(("data", "test")):
        x = np.random.default_rng(seed).normal(size=(rows, 8))
        found[name] = table(folder / f"{name}.csv", x, np.where(x[:, 3] > 0, "yes", "no"))
    return found


def told(study: Study, name: str) -> ChapterRecord:
    return next(chapter for chapter in study.chapters if chapter.name == name)


SIX = CHAPTERS[:6]  # those that cost little; the others have tests of their own


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """Six chapters on the set with one dominant feature."""
    folder = tmp_path_factory.mktemp("chapters")
    return folder / "out", run_study(**dominant(folder), out=folder / "out", chapters=SIX, **SMALL)


def test_names_of_options_are_the_table_s() -> None:
    assert [chapter.name for chapter in TABLE] == list(CHAPTERS)
    assert [chapter.name for chapter in TABLE][:3] == list(DEFAULT_CHAPTERS)
    assert [chapter.name for chapter in TABLE if chapter.any_network] == list(ANY_NETWORK_CHAPTERS)
    assert all(chapter.any_network for chapter in TABLE if chapter.run is None)


def test_chapters_that_train_perceptrons_are_for_studies_of_these() -> None:
    assert StudyOptions(network="lstm").asked == ("how-much", "convergence")
    assert StudyOptions(network="lstm", chapters=("forms", "schedules")).asked == ("forms", "schedules")
    assert StudyOptions(network="perceptron").asked == StudyOptions().asked == DEFAULT_CHAPTERS
    rule = r"`--chapters` must be of how-much, convergence, forms, schedules with --network cnn: .* where"
    with pytest.raises(StudyError, match=rule):
        StudyOptions(network="cnn", chapters=("how-much", "where"))


@pytest.mark.long
def test_every_chapter_is_told_with_words_and_a_figure_on_record_and_page(asked: tuple[Path, Study]) -> None:
    out, study = asked
    assert [chapter.name for chapter in study.chapters] == [name for name in SIX if name != "how-much"]
    assert not study.failures
    page = (out / "report.html").read_text()
    for chapter in study.chapters:
        assert chapter.question in page
        assert chapter.words
        assert chapter.figure is not None
        assert f'id="figure-chapter-{chapter.name}"' in page
        assert (out / "figures" / f"chapter-{chapter.name}.png").stat().st_size > 0
    assert Study.model_validate_json((out / "study.json").read_text()) == study


def test_the_dominant_feature_is_found_and_missed(asked: tuple[Path, Study]) -> None:
    chapter = told(asked[1], "reliance")
    assert chapter.words[0].startswith("The most important feature without dropout is f3.")
    figure = chapter.figure
    assert figure is not None
    for series in figure.series:
        assert series.points[2].value > 0.6  # of the importance is the dominant feature's
    harm = chapter.words[1].split("changes by +")[1]
    assert float(harm.split(" points")[0]) > 15  # without it, an answer is a guess


def test_a_sentence_claims_a_difference_where_the_interval_leaves_0_out_and_only_there(
    asked: tuple[Path, Study],
) -> None:
    chapter = told(asked[1], "where")
    figure = chapter.figure
    assert figure is not None
    places = {figure.names[round(point.x)]: point for point in figure.series[0].points}
    assert set(places) == {"inputs", "all hidden layers", "outputs"}
    for place, words in zip(places, chapter.words, strict=False):
        point = places[place]
        assert ("no difference" in words) == (point.low <= 0 <= point.high), words
        assert ("lowers" in words) == (point.high < 0)
        assert ("raises" in words) == (point.low > 0)
    assert chapter.words[-1].startswith("Bagging of features")


def test_the_noise_has_its_part_of_the_training_loss(asked: tuple[Path, Study]) -> None:
    chapter = told(asked[1], "convergence")
    figure = chapter.figure
    assert figure is not None
    plain, noisy = ([point.value for point in series.points] for series in figure.series)
    assert plain[0] == pytest.approx(plain[1], abs=0.03)  # no noise without dropout
    assert noisy[0] > noisy[1] + 0.03
    assert f"the noise's part is {noisy[0] - noisy[1]:.3f}" in chapter.words[-1]


@pytest.mark.long
def test_a_second_call_trains_nothing_but_what_is_damaged(
    asked: tuple[Path, Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, study = asked
    trained: list[Any] = []
    of_pool = Pool.map

    def counted(self: Pool, work: Any, units: Any, *rest: Any) -> Any:
        trained.extend(unit for unit in units if hasattr(unit, "chapter"))
        return of_pool(self, work, units, *rest)

    monkeypatch.setattr(Pool, "map", counted)
    damaged = sorted((out / "chapters").glob("where-inputs-*.json"))[0]
    damaged.write_text('{"recipe"')
    with pytest.warns(StudyWarning, match="its trial is run again"):
        again = run_study(**dominant(out.parent), out=out, chapters=SIX, **SMALL)
    assert [trial.arm for trial in trained] == ["inputs"]
    assert again.chapters == study.chapters


@pytest.mark.usefixtures("undrawn")
@pytest.mark.long
def test_numbers_do_not_depend_on_processes(asked: tuple[Path, Study], tmp_path: Path) -> None:
    found = run_study(**dominant(tmp_path), out=tmp_path / "out", chapters=SIX, jobs=2, **SMALL)
    assert found.chapters == asked[1].chapters


@pytest.mark.parametrize("wrong", ["wher", ["where", "all"], "all,where"])
def test_an_unknown_name_is_refused_before_anything_is_trained(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="`--chapters` must be all, none, or of how-much, where"):
        run_study(**dominant(tmp_path, 60), out=tmp_path / "other", chapters=wrong, **SMALL)
    assert not (tmp_path / "other").exists()


@pytest.mark.long
def test_none_is_none(tmp_path: Path) -> None:
    found = run_study(**dominant(tmp_path, 60), out=tmp_path / "out", chapters="none", **SMALL | {"epochs": 2})
    assert found.chapters == []
    assert "Further questions" not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.long
def test_on_a_set_where_nothing_can_be_learnt_no_difference_is_claimed(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 3))
    data = table(tmp_path / "d.csv", x, rng.permutation(np.repeat(["a", "b"], 40)))
    found = run_study(data, out=tmp_path / "o", chapters=["data-size"], **SMALL)
    assert told(found, "data-size").words[0] == "No difference was seen at any number of training rows."


@pytest.mark.usefixtures("undrawn")
@pytest.mark.long
def test_the_ridge_moves_where_the_search_says_so(tmp_path: Path) -> None:
    settings = SMALL | {"ps": [0.2, 0.5], "lrs": [0.003, 0.01, 0.03]}
    found = run_study(**dominant(tmp_path), out=tmp_path / "o", chapters="how-much", **settings)
    chapter = told(found, "how-much")
    assert chapter.figure is not None
    assert chapter.figure.map is not None
    assert len(chapter.figure.map.ridge) == 3
    assert "p = 0" in chapter.words[0]
    moved = chapter.words[1].startswith("The best learning rate")
    assert moved != chapter.words[1].startswith("No move of the best learning rate")
