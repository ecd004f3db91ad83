"""Every test is in one tier: `make test` leaves out by marks what `make test-rest` runs by the same marks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from conftest import APART, BACKENDS, MADE_ONCE

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def variable(name: str) -> str:
    found = re.search(rf"^{name} := (.*)$", MAKEFILE.replace("\\\n", " "), re.MULTILINE)
    assert found, name
    return found[1]


def rule(target: str) -> tuple[list[str], str]:
    """What a target needs, and its commands."""
    found = re.search(rf"^{target}:([^#\n]*).*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert found, target
    return found[1].split(), found[2]


def test_what_one_leaves_out_the_other_runs() -> None:
    assert rule("test")[1] == '\t$(PYTEST) -m "not ($(APART))"\n'
    assert rule("test-rest")[1] == '\t$(PYTEST) -m "$(APART)" tests\n'
    assert all(place.startswith("tests/") for place in APART)  # examples of docstrings have no marks
    assert re.fullmatch(r"\w+( or \w+)*", variable("APART"))
    assert variable("PYTEST") == "$(BIN)/python -m pytest $(WORKERS)"


def test_all_of_them_run() -> None:
    assert {"test", "test-rest", "test-rounding", "test-oldest", "test-backends"} <= {*rule("test-all")[0]}
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    called = {target for line in re.findall(r"^make (.*)$", steps, re.MULTILINE) for target in line.split()}
    assert {"lint", "docs", "test", "test-all", "dist"} <= called


def test_every_mark_is_registered_and_on_tests() -> None:
    marks = {*variable("APART").split(" or ")}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert marks <= {line.partition(":")[0] for line in settings["markers"]}
    on_places = set(APART.values())
    assert all((ROOT / place).exists() for place in APART)
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    on_tests = {mark for mark in marks if f"pytest.mark.{mark}" in text}
    assert on_places | on_tests == marks


def test_the_folders_of_numbers_are_there() -> None:
    folders = [part for part in variable("NUMERIC").split() if not part.startswith("--")]
    assert len(folders) > 5
    assert all((ROOT / folder).is_dir() for folder in folders)
    (command,) = rule("test-rounding")[1].splitlines()
    assert all(part in command for part in ("ATEN_CPU_CAPABILITY=default ", " --rounding ", " --threads 3 "))


def test_the_oldest_torch_runs_what_meets_torch() -> None:
    assert rule("test-oldest")[1] == (
        "\tATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 "
        '$(OLDEST)/bin/python -m pytest $(WORKERS) -m "not ($(APART))" $(TESTS_OLDEST)\n'
    )
    folders = [part.removeprefix("--ignore=") for part in variable("TESTS_OLDEST").split()]
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_what_needs_other_frameworks_runs_where_they_are() -> None:
    """Each folder that is ignored without its package is one of those that the environment's tests name."""
    named = f"{variable('TESTS_JAX')} {variable('TESTS_KERAS')}"
    assert all((ROOT / place).exists() and place in named for place in BACKENDS)
    assert "test-backend-,flax tensorflow jax torch)" in rule("test-backends")[1]


def test_fixtures_that_are_made_once_are_there_and_one_worker_makes_them() -> None:
    assert variable("WORKERS") == "-n auto --dist loadgroup"
    for fixture, place in MADE_ONCE.items():
        path = ROOT / place
        files = [path] if path.is_file() else [*path.rglob("*.py")]
        assert any(f"\ndef {fixture}(" in file.read_text(encoding="utf-8") for file in files), fixture
