"""`import thinned` and `import thinned.nn` need torch and NumPy: nothing that only an extra installs is imported,
nor what the Makefile installs beside the extras."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
BESIDE = {"timm", "torchvision"}


def modules_of_extras() -> set[str]:
    """The top-level modules of every distribution that an extra of pyproject.toml names, and of those beside it."""
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    names = {re.split(r"[^\w.-]", requirement)[0] for extra in extras.values() for requirement in extra} - {"thinned"}
    wanted = {re.sub(r"[-_.]+", "-", name).lower() for name in names | BESIDE}
    return {
        module
        for module, distributions in packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", name).lower() in wanted for name in distributions)
    }


def imported_by(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


def test_extras_are_known() -> None:
    assert {
        "pandas",
        "matplotlib",
        "sklearn",
        "typer",
        "rich",
        "pydantic",
        "pytest",
        "timm",
        "transformers",
    } <= modules_of_extras()


@pytest.mark.parametrize(
    "statement",
    ["import thinned", "import thinned; thinned.nn", pytest.param("import thinned.nn", marks=pytest.mark.long)],
)
def test_import_is_lean(statement: str) -> None:
    own = imported_by(statement)
    assert "thinned" in own
    assert not own & modules_of_extras()


@pytest.mark.long
def test_a_heavy_import_is_noticed() -> None:
    assert imported_by("import thinned, pandas") & modules_of_extras() >= {"pandas"}


def test_tools_and_the_study_load_no_compiler() -> None:
    """torch's compiler takes 1 s to load, scikit-learn's trees another."""
    statement = """
import torch, thinned, thinned.study.run
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.2), torch.nn.Linear(4, 2))
thinned.inspect(model, torch.ones(3, 4)), thinned.check(model, torch.ones(3, 4)), thinned.plan(model, torch.ones(3, 4))
thinned.predict(model, torch.ones(3, 4)), thinned.set_rates(model, {"*": 0.3})
with thinned.disabled(model):
    model(torch.ones(3, 4))
from thinned.study.networks import named, shape
for name in named.HIDDEN:
    named.weights_of(name, shape.InputShape(image=(8, 8, 1), words=50, length=8), named.HIDDEN[name], 2)
from thinned.fit.adamw import adamw
optimiser = adamw(model, 0.1, 0.5)
optimiser.zero_grad(), model(torch.ones(3, 4)).sum().backward(), optimiser.step()
for late in ("torch._dynamo", "sklearn.ensemble", "matplotlib.figure", "optuna"):
    assert late not in sys.modules, late
"""
    imported_by("import sys" + statement)
