"""Runs the rules for live models on one model and an example of its inputs."""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Mapping
from typing import Any

from torch.nn import Module

from ..inspect.inspect import inspect
from ..watch.example import by_name
from ..watch.private_noise import private_noise
from ..watch.untouched import check_module, untouched
from .finding import Finding
from .findings import Findings
from .lens.examination import Examination
from .lens.source_file import silenced_by
from .rule import Rule
from .settings import Settings, prefixes


def check_model(
    model: Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    select: Iterable[str] | None = None,
    ignore: Iterable[str] = (),
) -> Findings:
    """The findings in a model, without those that a `# noqa` on their line of the user's code silences.

    The noise of all passes has one seed, so that the same model and example give the same findings.

    Raises:
        CheckError: a code is unknown.
        Exception: any error that the model raises.
    """
    check_module("check", model)
    args, kwargs = by_name(model, args, kwargs)
    chosen = prefixes(("THN",) if select is None else select, "`check`: `select`")
    settings = Settings(select=chosen, ignore=prefixes(ignore, "`check`: `ignore`"))
    rules = settings.rules("models")
    with untouched("check", model, generators=False), private_noise(model, own=False) as noise:
        noise.seed(0)
        training = bool(model.training)
        inspection = inspect(model, *args, **kwargs)
        return findings(Examination(model, inspection, args, dict(kwargs), training), rules)


def findings(examination: Examination, rules: Iterable[Rule]) -> Findings:
    """What some rules find in a model that has been inspected, without what a `# noqa` silences."""
    found = [finding for rule in rules if rule.live is not None for finding in rule.live(examination)]
    return Findings(finding for finding in found if not _silenced(finding))


def _silenced(finding: Finding) -> bool:
    """Whether the line of a finding has a `# noqa` for its code."""
    return bool(finding.line) and silenced_by(linecache.getline(finding.file, finding.line), finding.code)
