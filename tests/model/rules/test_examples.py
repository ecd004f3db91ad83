"""Every live rule of a model's structure and measurements flags its own bad example and leaves its good one alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import thinned
from thinned.model import rules
from thinned.model.check.examination import Examination
from thinned.model.check.finding import Finding
from thinned.model.check.rule import Rule

from .conftest import defined_by, rule

CODES = {"105", "107", "108", "201", "202", "203", "204", "205", "206"}
CODES |= {"301", "302", "303", "305", "306", "403", "405", "501", "502", "503"}
STEMS = sorted(path.stem for path in Path(rules.__file__).parent.glob("thn*.py") if path.stem[3:6] in CODES)


def run(looked_for: Rule, source: str) -> list[Finding]:
    model, example = defined_by(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch itself warns of some of what rules find
        inspection = thinned.inspect(model, *example)
    assert looked_for.live is not None
    return list(looked_for.live(Examination(model, inspection, example)))


@pytest.mark.parametrize("stem", STEMS)
def test_bad_is_flagged_and_good_is_not(stem: str) -> None:
    looked_for = rule(stem)
    found = run(looked_for, looked_for.bad)
    assert found
    assert all(finding.code == looked_for.code for finding in found)
    assert not any("\n" in finding.message for finding in found)
    assert run(looked_for, looked_for.good) == []


@pytest.mark.parametrize("stem", STEMS)
def test_no_other_rule_minds_the_good_example(stem: str) -> None:
    model_source = rule(stem).good
    for other in STEMS:
        if not rule(other).advice:
            assert run(rule(other), model_source) == [], other
