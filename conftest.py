"""Settings of the whole suite, doc examples included."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tests import by_chance, rounding
from tests.zoo import imports

imports.prepare()

ROOT = Path(__file__).parent

# Folders and files whose tests `make test` leaves to `make test-rest`. Other tests have their mark beside them.
APART = {
    "tests/benchmarks/test_shift.py": "long",
    "tests/csrc": "sanitizer",
    "tests/device": "device",
    "tests/distributed": "ranks",
    "tests/interop/test_lightning.py": "frameworks",
    "tests/interop/test_transformers.py": "frameworks",
    "tests/zoo": "zoo",
}


# What takes long to make, by the fixture that makes it, and where. The tests that ask for it run on one worker, which
# makes it once (`--dist loadgroup` in the Makefile).
MADE_ONCE = {
    "asked": "tests/study/chapters",
    "check": "tests/csrc",
    "classified": "tests/cli",
    "cluster": "tests/study/trial/test_ray.py",
    "digits": "tests/uncertainty/test_calibrate.py",
    "page_of": "tests/study/report",
    "records": "tests/study/report",
    "records_of": "tests/study/report",
    "regressed": "tests/cli",
    "results": "tests/benchmarks",
    "tensors": "tests/benchmarks",
    "whole": "tests/study/report",
}

# What needs an environment of its own, by the package that it has (`make test-backends`). Elsewhere it is not imported.
BACKENDS = {
    "tests/backends/jax": "jax",
    "src/thinned/interop/jax": "jax",
    "tests/backends/keras": "keras",
    "src/thinned/interop/keras": "keras",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("numbers")
    group.addoption("--rounding", action="store_true", help="round products by their shapes: see tests/rounding.py")
    # On tensors as small as the tests' a second thread costs more than it brings, most of all on a busy machine.
    group.addoption(
        "--fuzz", type=int, default=1, metavar="N", help="N times as many examples by chance, new ones each time"
    )
    group.addoption("--threads", type=int, default=1, help="threads that torch computes with (default: 1)")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(config.getoption("threads"))
    by_chance.times = config.getoption("fuzz")
    if config.getoption("rounding"):
        session = ExitStack()
        session.enter_context(rounding.on())
        config.add_cleanup(session.close)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A place that `-m "not (...)"` leaves out whole is not even imported, nor one whose package is not installed."""
    if _backend_missing(collection_path):
        return True
    left_out = re.fullmatch(r"not \((.*)\)", config.getoption("markexpr"))
    return True if left_out and _mark(collection_path) in left_out[1].split(" or ") else None


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if mark := _mark(item.path):
            item.add_marker(mark)
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MADE_ONCE and ROOT / MADE_ONCE[fixture] in (item.path, *item.path.parents):
                item.add_marker(pytest.mark.xdist_group(MADE_ONCE[fixture]))


def _backend_missing(path: Path) -> bool:
    places = (path, *path.parents)
    return any(ROOT / place in places and find_spec(package) is None for place, package in BACKENDS.items())


@cache
def _mark(path: Path) -> str | None:
    """The mark of a file, or of the folder that it is in."""
    return next((mark for place, mark in APART.items() if ROOT / place in (path, *path.parents)), None)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch computes with one thread here, as in the threads of a test, which are compared with it to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _same_draws_whatever_ran_before() -> None:
    """A test that draws a key from torch's generator draws the same one alone, in any order and on any worker."""
    torch.manual_seed(0)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report is drawn, which is half of a small study's time: for tests that look at none."""
    monkeypatch.setattr("thinned.study.report.write", lambda folder: folder / "report.html")
