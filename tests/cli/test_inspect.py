"""`thinned inspect`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

SOURCE = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(2, 16)
        self.drop = torch.nn.Dropout(0.25)

    def forward(self, ids, scale):
        return torch.nn.functional.dropout(self.drop(self.embed(ids)), 0.1) * scale


def scale():
    return torch.ones(1)
"""


@pytest.fixture
def here(module_here: Callable[[str, str], Path]) -> Path:
    return module_here("inspected_net", SOURCE)


def test_a_table(thinned: Callable[..., Result], here: Path) -> None:
    result = thinned("inspect", "inspected_net:Net", "--input", "int64:32x8", "--input", "scale=inspected_net:scale")
    assert result.exit_code == 0, result.output
    rows = result.stdout.splitlines()
    assert rows[1].split()[:4] == ["drop", "Dropout", "inspected_net.py:12", "0.25"]
    assert rows[2].startswith("! :dropout")
    assert rows[2].endswith("draws in eval mode")
    assert "Net: 2 places, 2 draw noise in training" in rows[-1]


def test_json(thinned: Callable[..., Result], here: Path) -> None:
    result = thinned(
        "inspect", "inspected_net:Net", "--input", "int64:32x8", "--input", "scale=inspected_net:scale",
        "--output-format", "json",
    )  # fmt: skip
    places = json.loads(result.stdout)["places"]
    assert [(place["name"], place["p"], place["active"]) for place in places] == [
        ("drop", 0.25, "train"),
        (":dropout", 0.1, "both"),
    ]


@pytest.mark.zoo
def test_a_library_s_model(thinned: Callable[..., Result]) -> None:
    result = thinned("inspect", "torchvision.models:alexnet", "--input", "2x3x224x224", "--passes", "1")
    assert result.exit_code == 0, result.output
    assert "AlexNet: 2 places, 2 draw noise in training" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspected_net"], "must be package.module:factory"),
        (["inspected_net:Nett"], "inspected_net has no 'Nett'. It has Net, scale"),
        (["no_such_thing:Net"], "there is no module 'no_such_thing'"),
        (["inspected_net:Net", "--input", "8x"], "an input must be a shape"),
        (["inspected_net:Net", "--input", "int64:4x4"], "inspected_net:Net fails on --input int64:4x4: TypeError"),
        (["inspected_net:Net"], "inspected_net:Net fails on no --input: TypeError"),
    ],
)
def test_what_does_not_work_is_said(
    thinned: Callable[..., Result], here: Path, arguments: list[str], said: str
) -> None:
    result = thinned("inspect", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
