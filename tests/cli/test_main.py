"""The command itself: its verbs, its version, and what it says where its packages are missing."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest
from typer.testing import Result

from thinned.nn.variants import VARIANTS

Thinned = Callable[..., Result]


def test_version(thinned: Thinned) -> None:
    assert thinned("--version").output == f"thinned {version('thinned')}\n"


def test_a_python_has_the_command_without_a_path_to_it() -> None:
    done = subprocess.run([sys.executable, "-m", "thinned", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"thinned {version('thinned')}\n"


def test_help_shows_examples(thinned: Thinned) -> None:
    assert "thinned study patients.csv --target outcome" in thinned("study", "--help").output


def test_variants_are_all_there(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = thinned("variants").output
    for variant in VARIANTS:
        assert variant.name in shown
        assert variant.paper in shown


def test_without_typer_one_line_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from thinned.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "thinned: the command line needs pip install 'thinned[study]'\n"


@pytest.mark.long
@pytest.mark.parametrize("module", ["thinned", "thinned.nn", "thinned.cli", "thinned.study"])
def test_importing_is_light(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "print(*{'pandas', 'matplotlib', 'sklearn', 'typer', 'torchmetrics', 'pydantic'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
