"""Settings of the whole suite, doc examples included."""

import pytest
import torch
from tests import rounding
from tests.zoo import imports

imports.prepare()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("numbers")
    group.addoption("--rounding", action="store_true", help="round products by their shapes: see tests/rounding.py")
    # On tensors as small as the tests' a second thread costs more than it brings, most of all on a busy machine.
    group.addoption("--threads", type=int, default=1, help="threads that torch computes with (default: 1)")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(config.getoption("threads"))
    if config.getoption("rounding"):
        mode = rounding.on()
        mode.__enter__()
        config.add_cleanup(lambda: mode.__exit__(None, None, None))


@pytest.fixture(autouse=True)
def _same_draws_whatever_ran_before() -> None:
    """A test that draws a key from torch's generator draws the same one alone, in any order and on any worker."""
    torch.manual_seed(0)
