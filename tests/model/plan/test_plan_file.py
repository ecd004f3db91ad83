"""A plan as a file: it comes back as it went, takes edits, and refuses what cannot be meant, by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.models import having, made, perceptron

import thinned
from thinned.model.plan.line import PlanLine

LINE = PlanLine("input of fc", "Dropout", 0.5, (8, 512), 'A "quoted" reason with \\, \n, \x7f and 시험.', "Nobody 2026")


@pytest.mark.parametrize("name", having("bare"))
def test_it_comes_back_as_it_went(name: str, tmp_path: Path) -> None:
    plan = thinned.plan(*made(name))
    plan.save(tmp_path / "plan.toml")
    assert thinned.Plan.load(tmp_path / "plan.toml") == plan


def test_any_text_comes_back(tmp_path: Path) -> None:
    plan = thinned.Plan((LINE,), ("a\tb",), ("# no comment",), "Net")
    plan.save(tmp_path / "plan.toml")
    assert thinned.Plan.load(str(tmp_path / "plan.toml")) == plan


def test_edits_are_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    thinned.plan(perceptron(), torch.randn(8, 64)).save(path)
    text = path.read_text().replace("p = 0.5", "p = 1", 1).replace("enabled = true", "enabled = false", 1)
    path.write_text(text + '\n[[place]]  # mine\nwhere = "output of 4"\nvariant = "GaussianDropout"\np = 0.05\n')
    plan = thinned.Plan.load(path)
    assert [(line.where, line.p, line.enabled) for line in plan] == [
        ("output of 1", 1, False),
        ("output of 3", 0.2, True),
        ("output of 4", 0.05, True),
    ]
    assert thinned.apply(perceptron(), plan).places == ("3.thinned_output", "4.thinned_output")


def test_a_plan_is_changed_in_python_too() -> None:
    plan = thinned.Plan((LINE,))
    assert plan.changed("input of fc", p=0.1).lines[0].p == 0.1
    with pytest.raises(KeyError, match="no line stands at 'input of gc'"):
        plan.changed("input of gc", p=0.1)
    with pytest.raises(ValueError, match=r"`p` must be a number in \[0, 1\]\. Got 20\. If 20 % was meant, pass 0\.2\."):
        plan.changed("input of fc", p=20)


PLACE = '[[place]]\nwhere = "input of fc"\nvariant = "Dropout"\np = 0.5\n'
BAD = {
    "p = 20": (PLACE.replace("0.5", "20"), r"2: place 1 \(input of fc\): .*If 20 % was meant, pass 0\.2"),
    "p as text": (PLACE.replace("0.5", '"0.5"'), r"2: place 1 \(input of fc\): .*Pass the number 0\.5, not text"),
    "an unknown key": (PLACE + "rate = 0.5\n", r"2: place 1: unknown key 'rate'\. A place has enabled, where"),
    "a missing key": (PLACE.replace("p = 0.5\n", ""), r"2: place 1: `p` is missing"),
    "an unknown variant": (PLACE.replace("Dropout", "Droput"), r"`variant` must be one of Dropout, .* Got 'Droput'"),
    "a layer of two inputs": (
        PLACE.replace('"Dropout"', '"DropoutAdd"'), r"must be one of Dropout, Dropout1d, .* Got 'DropoutAdd'"
    ),
    "a variant of another kind": (
        PLACE.replace("input of", "p of"), r"2: place 1 \(p of fc\): .*`variant` must be 'set p'\. Got 'Dropout'"
    ),
    "an anchor": (PLACE.replace("input of fc", "before fc"), r"`where` must be like 'output of features.*before fc"),
    "a second place": (PLACE + "\n" + PLACE.replace("0.5", "2"), r"plan\.toml:7: place 2 \(input of fc\): "),
    "a place twice": (PLACE + PLACE, r"every place must stand once\. Got 'input of fc' twice"),
    "enabled as a number": (PLACE + "enabled = 1\n", r"2: place 1: `enabled` must be true or false\. Got 1"),
    "a shape of text": (PLACE + 'shape = "8x8"\n', r"2: place 1: `shape` must be an array of whole numbers"),
    "locked without need": (PLACE + "batch_first = true\n", r"`batch_first` must be left out"),
    "an unknown key outside": ("plan = 1\n", r"unknown key 'plan'\. A plan has model, there, notes, place"),
    "notes of numbers": ("notes = [1]\n", r"`notes` must be an array of text"),
    "places inline": ('place = [{where = "input of fc"}]\n', r"every place must begin with a line \[\[place\]\]"),
    "no TOML": ("place = = 1\n", r"plan\.toml: a plan must be TOML\. .*line 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_meant_is_refused_by_file_and_line(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    path = tmp_path / "plan.toml"
    path.write_text("# a comment\n" + text)
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        thinned.Plan.load(path)
    assert str(path) in str(caught.value)


def test_a_file_nested_too_deeply_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("notes = " + "[" * 5_000)
    with pytest.raises(ValueError, match="a plan must be TOML of a few levels"):
        thinned.Plan.load(path)
    with pytest.raises(ValueError, match="a file of rates must be TOML of a few levels"):
        thinned.load_rates(torch.nn.Dropout(), path)


def test_what_is_no_file_of_text_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="is a device"):
        thinned.Plan.load(path)
    path.unlink()
    path.write_bytes(b"model = '\xff'")
    with pytest.raises(ValueError, match=r"must be UTF-8\. Byte 9 is not"):
        thinned.Plan.load(path)


def test_a_plan_is_written_where_a_link_leads(tmp_path: Path) -> None:
    target, link = tmp_path / "far.toml", tmp_path / "plan.toml"
    target.write_text("before")
    target.chmod(0o600)
    link.symlink_to("far.toml")
    thinned.Plan((LINE,)).save(link)
    assert link.is_symlink()
    assert thinned.Plan.load(target).lines == (LINE,)
    assert target.stat().st_mode & 0o777 == 0o600
    target.chmod(0o400)
    for write in (thinned.Plan(()).save, lambda path: thinned.save_rates(torch.nn.Dropout(), path)):
        with pytest.raises(OSError, match="it is read-only"):
            write(link)
    assert {path.name for path in tmp_path.iterdir()} == {"far.toml", "plan.toml"}
