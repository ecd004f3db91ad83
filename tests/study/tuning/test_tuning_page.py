"""The page of a tuning: its sentences agree with the answer's numbers, and what failed is shown as such."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.study.report.reading import PageReader

import thinned
from thinned.study import TuneResult, tune

Fit = Callable[[Any, dict[str, float], int, Any], Any]
empty = pytest.mark.usefixtures("pages_without_drawings")


def net() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(2, 2))


def two_kinds() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.Dropout1d(0.1), *net())


def bowl(model: Any, rates: dict[str, float], seed: int, budget: Any) -> dict[str, float]:
    """Least at 0.3 for every place; a little of it is the seed's, and a little the seed's at each p."""
    loss = sum((p - 0.3) ** 2 for p in rates.values()) + seed / 100
    return {"loss": loss, "test loss": 2 * loss + math.sin(97 * seed * sum(rates.values())) / 1000}


def tuned(fit: Fit, out: Path, model: Any = net, **options: Any) -> tuple[TuneResult, PageReader]:
    found = tune(fit, model, **{"trials": 14, "seeds": 3, "ps": (0.0, 0.3, 0.6), "out": out, **options})
    return found, PageReader((out / "report.html").read_text(encoding="utf-8"))


def test_the_page_is_whole_and_stays_in_its_file(tmp_path: Path) -> None:
    found, page = tuned(bowl, tmp_path, metric="loss")
    assert found.page == tmp_path / "report.html"
    assert f"The page with figures: {found.page}" in (tmp_path / "tune.txt").read_text(encoding="utf-8")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"figure-kind-1", "figure-rivals", "kind-1-title", "rivals-desc"} <= set(ids)
    assert not re.search(r"@import|https?:|url\((?!#)|<script|<link", page.html)
    assert "prefers-color-scheme:dark" in page.html
    assert "#fe" not in page.html  # every colour is the theme's


@empty
def test_the_words_are_the_answers(tmp_path: Path) -> None:
    found, page = tuned(bowl, tmp_path, metric="loss", judge="test loss", budget="12 epochs")
    assert found.taken == "tuned"
    assert page.lines[:4] == ["Dropout tuning", "Sequential", "Take the tuned rates", found.headline]
    assert found.set_rates_line in page.lines
    assert "What chose is loss; what judges is test loss, on 3 seeds that no choice has seen." in page.lines
    assert page.table("Rates of each place") == [["2 | hidden", "0.1", "0.3", "0.3"]]
    rows = page.table("Differences with intervals")
    assert len(rows) == len(found.differences) == 3
    for (what, value, seeds), item in zip(rows, found.differences, strict=True):
        assert what == f"{item.first} against {item.second}"
        low, high = item.interval.low, item.interval.high
        assert value == f"{item.interval.value:+.4g} | {low:+.4g} to {high:+.4g} | {item.verdict}"
        assert seeds == "3"
        sentence = str(item).replace("test loss ", "")
        assert sentence[:1].upper() + sentence[1:] in page.words
    tried = page.table("All that was tried")
    assert [row[0] for row in tried] == [arm.name for arm in found.arms]
    assert [row[2] for row in tried] == [f"{arm.figure:.4g}" for arm in found.arms]
    assert len(page.table("Each training that judged")) == 9
    assert "Hidden: loss is least at p = 0.3; lower than at p = 0 in both seeds" in page.lines
    assert "Tuned is better than p = 0 and as it was; as it was is better than p = 0: test loss" in page.lines
    assert "12 epochs" in page.lines
    assert f"optuna-dashboard sqlite:///{tmp_path}/trials.db" in page.lines


@empty
def test_each_kind_is_shown_where_it_moves_alone(tmp_path: Path) -> None:
    _, page = tuned(bowl, tmp_path, two_kinds, metric="loss", trials=40)
    assert "Convolution maps: loss is least at p = 0.3; lower than at p = 0 in both seeds" in page.lines
    assert "Along the line convolution maps moves alone, with hidden at 0.3" in page.words
    assert "Along the line hidden moves alone, with convolution maps at 0.3" in page.words


@empty
def test_the_same_call_writes_the_same_page_and_one_that_is_stopped_none(tmp_path: Path) -> None:
    calls = 0

    def stopped(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return bowl(*arguments)

    with pytest.raises(KeyboardInterrupt):
        tuned(stopped, tmp_path, metric="loss")
    assert not (tmp_path / "report.html").exists()
    _, first = tuned(stopped, tmp_path, metric="loss")
    _, again = tuned(stopped, tmp_path, metric="loss")
    assert again.html == first.html


@empty
def test_no_difference_is_said_as_such(tmp_path: Path) -> None:
    def fit(model: Any, rates: dict[str, float], seed: int, budget: Any) -> float:
        return math.sin(1e4 * (seed + sum(rates.values())))

    found, page = tuned(fit, tmp_path, seeds=6)
    assert found.taken == "p = 0"
    assert {item.verdict for item in found.differences} == {"no difference was seen"}
    assert page.lines[2] == "Use no dropout"
    assert "No difference was seen between p = 0, as it was and tuned, so the simplest is taken." in page.lines
    assert "What chose is figure, and what judges is the same on 6 other seeds." in page.words
    assert "No difference was seen between p = 0, as it was and tuned: figure" in page.lines
    assert "better than p = 0" not in page.words


@empty
def test_more_can_be_better(tmp_path: Path) -> None:
    found, page = tuned(
        lambda model, rates, seed, budget: {"accuracy": 1 - bowl(model, rates, seed, budget)["loss"]},
        tmp_path,
        metric="accuracy",
        direction="maximize",
    )
    assert found.taken == "tuned"
    assert "Hidden: accuracy is greatest at p = 0.3; higher than at p = 0 in both seeds" in page.words
    assert "above zero, the first is better" in page.words
    assert "lower is better" not in page.words


def test_names_and_reasons_are_escaped(tmp_path: Path) -> None:
    def fit(model: Any, rates: dict[str, float], seed: int, budget: Any) -> dict[str, float]:
        if rates["2"] == 0.6:
            raise RuntimeError("<b>no</b> & never")
        return {"<b>loss</b>": bowl(model, rates, seed, budget)["loss"]}

    _, page = tuned(fit, tmp_path, metric="<b>loss</b>", kinds={"*": "<b>kind</b>"}, budget="<b>all</b>")
    assert "<b>" not in page.html
    assert "failed: RuntimeError: <b>no</b> & never" in page.lines
    assert "p <b>kind</b>" in page.lines


@empty
def test_rates_that_diverged_or_failed_are_shown_with_their_reason(tmp_path: Path) -> None:
    def fit(model: Any, rates: dict[str, float], seed: int, budget: Any) -> float:
        if rates["2"] == 0.6:
            return math.nan
        if rates["2"] == 0.05:
            raise RuntimeError("no memory")
        return math.inf if rates["2"] == 0.3 and seed == 5 else bowl(model, rates, seed, budget)["loss"]

    found, page = tuned(fit, tmp_path)
    assert found.taken == "as it was"
    assert page.lines[2] == "Keep the rates as they were"
    assert (
        "Crosses were not trained to the end: all x 0.5 failed: RuntimeError: no memory; "
        "hidden 0.6 diverged: figure is nan."
    ) in page.words
    assert "so these rates are not compared: tuned: seed 5 diverged, figure is inf." in page.words
    assert "tuned, seed 5, diverged: figure is inf. So these rates are not compared." in page.lines
    assert ["hidden 0.6", "0.6", "\N{EM DASH}", "\N{EM DASH}", "diverged: figure is nan"] in page.table(
        "All that was tried"
    )


def test_a_figure_out_of_all_proportion_is_named_outside_the_plot(tmp_path: Path) -> None:
    def fit(model: Any, rates: dict[str, float], seed: int, budget: Any) -> float:
        return 1e6 if rates["2"] == 0.6 else bowl(model, rates, seed, budget)["loss"]

    _, page = tuned(fit, tmp_path)
    assert "Outside the plot: hidden 0.6 (1e+06)." in page.words


@empty
def test_a_plans_page_has_the_lines_that_apply_it(tmp_path: Path) -> None:
    plan = thinned.plan(
        torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)), torch.ones(8, 4)
    )

    def build() -> torch.nn.Sequential:
        return torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))

    found, page = tuned(bowl, tmp_path, build, plan=plan, metric="loss")
    assert all(line in page.words for line in found.set_rates_line.splitlines())
    assert "the new places, for thinned.Plan.load and thinned.apply" in page.lines
    assert ["p = 0, as it was", "4"] in [row[:2] for row in page.table("Each training that judged")]


@empty
def test_without_what_draws_it_a_sentence_stands_for_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned(bowl, tmp_path, metric="loss")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = tune(bowl, net, metric="loss", trials=14, seeds=3, ps=(0.0, 0.3, 0.6), out=tmp_path)
    assert found.page is None
    assert "it needs matplotlib. Run pip install 'thinned[study]'; the same call then writes it." in str(found)
    assert str(found) + "\n" == (tmp_path / "tune.txt").read_text(encoding="utf-8")
    assert not (tmp_path / "report.html").exists()  # the first call's would contradict a later answer


@pytest.mark.long
def test_a_tuning_loads_what_draws_after_the_last_training() -> None:
    script = """
import sys, tempfile, torch
from thinned.study import tune
def fit(model, rates, seed, budget):
    assert not {"matplotlib", "jinja2"} & sys.modules.keys()
    return rates["1"] + seed
net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1))
tune(fit, net, trials=8, seeds=2, out=tempfile.mkdtemp())
assert "matplotlib" in sys.modules and "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
