"""One rule on one live model, through the public door."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import thinned
from thinned.model.check.finding import Finding
from thinned.model.check.rule import Rule

Findings = Callable[..., list[Finding]]


def rule(stem: str) -> Rule:
    """The rule in the file of that name."""
    found: Rule = importlib.import_module(f"thinned.model.check.rules.{stem}").RULE
    return found


@pytest.fixture(autouse=True)
def _no_ranks_are_left() -> Iterator[None]:
    """Examples of what happens between ranks make a process group, which others would trip over."""
    before = torch.distributed.is_initialized()
    yield
    if torch.distributed.is_initialized() and not before:
        torch.distributed.destroy_process_group()


@pytest.fixture
def findings(request: pytest.FixtureRequest) -> Findings:
    """What the rule that the test module names as `RULE` finds in a model."""
    looked_for: Rule = request.module.RULE

    def run(model: torch.nn.Module, *example: Any) -> list[Finding]:
        with warnings.catch_warnings():
            for said in ("dropout2d: Received a", "dropout1d: Received a", "dropout3d: Received a"):
                warnings.filterwarnings("ignore", said, UserWarning)  # torch's own, about what rules find
            return list(thinned.check(model, *example, select=[looked_for.code]))

    return run
