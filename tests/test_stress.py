"""All tools at once in eight threads: `tests/stress.py` for a moment, and for a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.stress import JOBS, Stress


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.long)])
def test_all_tools_at_once_answer_as_alone(seconds: float) -> None:
    stress = Stress(seed=1)
    stress.run(seconds, threads=8)
    assert not stress.wrong, "\n".join(stress.wrong[:5])
    assert seconds < 60 or set(stress.done) == set(JOBS)
