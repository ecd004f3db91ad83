"""One rule on one live model, through the rule's own door, and the model that a rule's example defines."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import thinned
from thinned.model.check.examination import Examination
from thinned.model.check.finding import Finding
from thinned.model.check.rule import Rule

Findings = Callable[..., list[Finding]]


def rule(stem: str) -> Rule:
    found: Rule = importlib.import_module(f"thinned.model.rules.{stem}").RULE
    return found


def defined_by(source: str) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    """The `model` and the `example` of a rule's `bad` or `good`."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "example.py", "exec"), names)
    return names["model"], names["example"]


@pytest.fixture
def findings(request: pytest.FixtureRequest) -> Findings:
    """What the rule that the test module names as `RULE` finds in a model."""
    looked_for: Rule = request.module.RULE

    def run(model: torch.nn.Module, *example: Any) -> list[Finding]:
        assert looked_for.live is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch itself warns of some of what rules find
            inspection = thinned.inspect(model, *example)
        return list(looked_for.live(Examination(model, inspection, example)))

    return run
