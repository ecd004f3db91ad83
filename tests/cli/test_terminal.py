"""Names reach the terminal as they are: no markup, no emoji, no command; on a terminal and elsewhere."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cli.networks import trained

from thinned.study import Dataset

from .conftest import Thinned

NAME = "[/b][red]:x:\x1b[31m\x9b2J\u202e"
SHOWN = r"[/b][red]:x:\x1b[31m\x9b2J\u202e"
SOURCE = f"""
import torch


class Named(torch.nn.Module):
    def __init__(self):
        super().__init__()
        layers = torch.nn.Linear(16, 512), torch.nn.ReLU(), torch.nn.Dropout(0.9), torch.nn.Linear(512, 2)
        self.parts = torch.nn.ModuleDict({{f"{{number}}" + {NAME!r}: layer for number, layer in enumerate(layers)}})

    def forward(self, x):
        for part in self.parts.values():
            x = part(x)
        return x


def failing():
    raise ValueError({NAME!r})
"""
FUNCTIONAL = """\
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5)
"""


@pytest.fixture(params=["a terminal", "a file"])
def seen(request: pytest.FixtureRequest, here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, where output goes to what Rich takes for a terminal, or elsewhere."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if request.param == "a terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
    return here


@pytest.fixture
def here(module_here: Callable[[str, str], Path]) -> Path:
    """A folder with a module."""
    return module_here("named_net", SOURCE)


def said(thinned: Thinned, *arguments: str | Path) -> str:
    """What a command prints, without Rich's own colours; no other command to a terminal may be in it."""
    output = re.sub(r"\x1b\[[\d;]*m", "", (result := thinned(*arguments)).output)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", output)
    assert "\x1b[31m\x9b" not in result.output
    return output


@pytest.mark.parametrize("verb", ["inspect", "plan", "check"])
def test_names_in_a_model(thinned: Thinned, seen: Path, verb: str) -> None:
    model = ["--model"] if verb == "check" else []
    assert SHOWN in said(thinned, verb, *model, "named_net:Named", "--input", "8x16")
    assert SHOWN in said(thinned, verb, *model, "named_net:failing", "--input", "8x16")


def test_names_of_files(thinned: Thinned, seen: Path) -> None:
    (seen / f"{NAME.replace('/', '')}.py").write_text(FUNCTIONAL)
    (seen / os.fsdecode(b"\xff.py")).write_text("def f(:\n")
    shown = said(thinned, "check", ".")
    assert f"{SHOWN.replace('/', '')}.py:7:16: THN101" in shown
    assert r"\xff.py:1:7: error" in shown
    for form in ("json", "sarif", "github"):
        thinned("check", ".", "--output-format", form).output.encode()
    assert SHOWN.replace("/", "") in said(thinned, "check", f"{NAME.replace('/', '')}.py", "--diff")


def test_classes_of_a_study(thinned: Thinned, here: Path) -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0, 0.1, 1.1] * 50})
    y = np.tile(np.array([0, 1], dtype=np.int64), 100)
    data = Dataset("named", "here", "classification", "y", frame, y, (NAME, "b"))
    folder = trained(data, here / "study", p=0.5, seeds=2, steps=5)
    frame.head(4).to_csv(here / "rows.csv", index=False)
    assert SHOWN in said(thinned, "predict", folder, here / "rows.csv", "--format", "text", "--n", "2")


def test_predictions_are_written_through_one_door(thinned: Thinned, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0, 0.1, 1.1] * 50})
    data = Dataset("plain", "here", "regression", "y", frame, frame["x"].to_numpy() * 2)
    folder, rows = trained(data, tmp_path / "study", p=0.5, seeds=2, steps=5), tmp_path / "rows.csv"
    frame.head(4).to_csv(rows, index=False)
    target, link = tmp_path / "far.csv", tmp_path / "link.csv"
    target.write_text("before")
    target.chmod(0o600)
    link.symlink_to("far.csv")
    assert thinned("predict", folder, rows, "-o", link, "--n", "2").exit_code == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 5
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert thinned("predict", folder, rows, "-o", os.devnull, "--n", "2").exit_code == 0
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    target.chmod(0o400)
    for out, why in (
        (tmp_path, "it is a folder"),
        (target, "it is read-only"),
        (tmp_path / "no/x", "there is no folder"),
    ):
        refused = thinned("predict", tmp_path / "no study", rows, "-o", out)
        assert refused.exit_code == 2
        assert why in refused.output  # before the study is looked for
    assert {path.name for path in tmp_path.iterdir()} == {"study", "rows.csv", "far.csv", "link.csv"}


def test_a_plan_is_written_where_a_link_leads_and_a_folder_is_refused_first(thinned: Thinned, here: Path) -> None:
    (here / "far").mkdir()
    (here / "plan.toml").symlink_to("far/plan.toml")
    assert thinned("plan", "named_net:Named", "--input", "8x16", "-o", "plan.toml").exit_code == 0
    assert (here / "plan.toml").is_symlink()
    assert (here / "far" / "plan.toml").read_text().startswith("# Where dropout goes")
    refused = thinned("plan", "named_net:Named", "--input", "8x16", "-o", "far")
    assert refused.exit_code == 2
    assert refused.output == "thinned plan: far cannot be written: it is a folder.\n"
    assert thinned("plan", "named_net:Named", "--input", "8x16", "-o", os.devnull).exit_code == 0
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
