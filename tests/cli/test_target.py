"""A model that is named on the command line: factories with arguments, and modules that fail, in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Thinned

FILES = {
    "target_net.py": """
import torch
from torch import nn


def build(depth=1, width=4, *, act="relu"):
    layers = [nn.Linear(width, width) for _ in range(depth)]
    return nn.Sequential(*layers, nn.ReLU() if act == "relu" else nn.Tanh(), nn.Dropout(0.2), nn.Linear(width, 2))


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer, self.drop = nn.Linear(width, 2), nn.Dropout(0.1)

    def forward(self, x):
        return self.layer(self.drop(x.relu()))


class Holder:
    build = staticmethod(build)


def example(rows=2):
    return torch.ones(rows, 4)


def broken():
    raise RuntimeError("weights are missing\\nand so on")


model = build()
""",
    "target_misses.py": "import no_such_package_at_all\n",
    "target_raises.py": "x = 1\nraise ValueError('no data here')\n",
    "target_exits.py": "import sys\nsys.exit('usage: target_exits')\n",
    "target_syntax.py": "x = 1\ndef f(:\n",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.mark.parametrize(
    ("target", "places"),
    [
        ("target_net:build", ["2"]),
        ("target_net:build()", ["2"]),
        ("target_net:build(3)", ["4"]),
        ("target_net:build(depth=2, act='tanh')", ["3"]),
        ("target_net:Holder.build(2, width=4)", ["3"]),
        ("target_net:Net(4)", ["drop"]),
        ("target_net:model", ["2"]),
    ],
)
def test_a_factory_with_arguments(thinned: Thinned, target: str, places: list[str]) -> None:
    for values in ("2x4", "target_net:example(rows=3)"):
        found = thinned("inspect", target, "--input", values)
        assert found.exit_code == 0, found.output
        assert [row.split()[0] for row in found.stdout.splitlines() if "Dropout" in row] == places


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "target_misses:build",
            "importing 'target_misses' fails: ModuleNotFoundError: No module named 'no_such_package",
        ),
        ("target_raises:build", "importing 'target_raises' fails: ValueError: no data here ("),
        ("target_exits:build", "importing 'target_exits' fails: SystemExit: usage: target_exits ("),
        ("target_syntax:build", "importing 'target_syntax' fails: SyntaxError: "),
        ("target_net:broken", "target_net:broken fails: RuntimeError: weights are missing ... ("),
        ("target_net:Net", "Arguments are given as 'target_net:Net(depth=3)'."),
        ("target_net:build(4, 4, 4)", "target_net:build(4, 4, 4) fails: TypeError: build() takes"),
        ("target_net:model(3)", "'model' is a model and takes no arguments"),
        ("target_net:build(depth=width)", "arguments must be literals"),
        ("target_net:build(__import__('os'))", "arguments must be literals"),
        ("target_net:build(**{})", "arguments must be literals"),
        ("target_net:build(3", "must be package.module:factory"),
        ("target_net:build(3)(4)", "must be package.module:factory"),
        ("target_net:build[0]", "must be package.module:factory"),
        ("target_nothing:build", "there is no module 'target_nothing'"),
    ],
)
def test_what_fails_is_said_in_one_line(thinned: Thinned, target: str, said: str) -> None:
    for verb in (["inspect"], ["plan"], ["check", "--model"]):
        found = thinned(*verb, target, "--input", "2x4")
        assert found.exit_code == 2
        (line,) = found.output.splitlines()
        assert line.startswith(f"thinned {verb[0]}: ")
        assert said in line


@pytest.mark.parametrize(
    ("target", "line"),
    [("target_raises:build", 2), ("target_net:broken", 29), ("target_syntax:build", 2)],
)
def test_the_line_is_named_and_verbose_shows_the_traceback(
    thinned: Thinned, project: Path, target: str, line: int
) -> None:
    file = project / f"{target.partition(':')[0]}.py"
    assert f"({file}:{line}). --verbose shows the traceback." in thinned("plan", target, "--input", "2x4").output
    for verb in (["inspect"], ["plan"], ["check", "--model"]):
        shown = thinned(*verb, target, "--input", "2x4", "--verbose").output
        assert f'File "{file}", line {line}' in shown
        assert shown.splitlines()[-1].startswith(f"thinned {verb[0]}: ")


def test_a_model_that_fails_on_its_input(thinned: Thinned) -> None:
    for verb in (["inspect"], ["plan"], ["check", "--model"]):
        found = thinned(*verb, "target_net:build", "--input", "2x5")
        assert found.exit_code == 2
        assert "target_net:build fails on --input 2x5: RuntimeError: " in found.output
        assert "Traceback" not in found.output
        assert "Traceback" in thinned(*verb, "target_net:build", "--input", "2x5", "--verbose").output
