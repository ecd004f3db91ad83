"""`thinned plan`, as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

SOURCE = """
import torch


def net():
    return torch.nn.Sequential(torch.nn.Linear(16, 512), torch.nn.ReLU(), torch.nn.Linear(512, 2))
"""


@pytest.fixture
def here(module_here: Callable[[str, str], Path]) -> Path:
    return module_here("planned_net", SOURCE)


def test_a_table_and_a_file_that_applies(thinned: Callable[..., Result], here: Path) -> None:
    import thinned as library

    result = thinned("plan", "planned_net:net", "--input", "8x16", "-o", "plan.toml")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split()[:7] == ["[x]", "output", "of", "1", "Dropout", "0.5", "8x512"]
    assert "Written to plan.toml" in result.stdout
    namespace: dict[str, Callable[[], library.nn.Dropout]] = {}
    exec(SOURCE, namespace)
    assert library.apply(namespace["net"](), library.Plan.load(here / "plan.toml")).places == ("1.thinned_output",)


def test_a_file_that_is_there_is_not_overwritten_unasked(thinned: Callable[..., Result], here: Path) -> None:
    (here / "plan.toml").write_text("edited")
    result = thinned("plan", "planned_net:net", "--input", "8x16", "-o", "plan.toml")
    assert result.exit_code == 2
    assert "may have been edited. Pass --force to overwrite it" in result.stderr
    assert (here / "plan.toml").read_text() == "edited"
    assert thinned("plan", "planned_net:net", "--input", "8x16", "-o", "plan.toml", "--force").exit_code == 0
    assert "[[place]]" in (here / "plan.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("planned_net:nett", "--input", "8x16"), "planned_net has no 'nett'"),
        (("planned_net:net", "--input", "8x17"), "planned_net:net fails on --input 8x17: RuntimeError"),
        (("planned_net:net", "--input", "8x16", "-o", "no/plan.toml"), "cannot be written"),
    ],
)
def test_what_does_not_work_is_one_line_and_exit_code_2(
    thinned: Callable[..., Result], here: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = thinned("plan", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
