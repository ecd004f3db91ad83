"""Settings of the whole suite, doc examples included."""

import pytest
import torch
from tests.zoo import imports

imports.prepare()

# On tensors as small as the tests' a second thread costs more than it brings, most of all on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_draws_whatever_ran_before() -> None:
    """A test that draws a key from torch's generator draws the same one alone, in any order and on any worker."""
    torch.manual_seed(0)
