"""All tools at once in eight threads, with fixed seeds: `pytest --fuzz 60` and `python -m tests.stress` run longer."""

from __future__ import annotations

import pytest
import torch
from tests import by_chance
from tests.stress import Stress


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_all_tools_at_once(seed: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        stress = Stress(seed)
        stress.run(10.0 * by_chance.times, 8)
    finally:
        torch.set_num_threads(threads)
    assert stress.wrong == []
    assert stress.done.total() > 30
