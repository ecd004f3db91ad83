"""The registry is whole: every rule has texts, its bad example is found, and no rule finds anything in a good one."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import thinned
from thinned.model.check.findings import Findings
from thinned.model.check.lens.calls import MODULES
from thinned.model.check.page import page
from thinned.model.check.registry import ENTRIES, rules
from thinned.model.check.rule import Rule
from thinned.model.check.walk import check_text
from thinned.nn.variants import VARIANTS

ROOT = Path(__file__).parents[4]
RULES = list(rules().values())
SOURCE = [rule for rule in RULES if rule.source is not None]
LIVE = [rule for rule in RULES if rule.live is not None]


def codes_in(text: str) -> set[str]:
    return {finding.code for finding in check_text("example.py", text, RULES)}


def run(text: str, tmp_path: Path) -> Findings:
    """Run the source from a file, as users' models do, and check the model that it defines."""
    path = tmp_path / "example.py"
    path.write_text(text, encoding="utf-8")
    names: dict[str, Any] = {"__name__": "example"}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        for said in ("dropout option adds dropout", "dropout2d: Received a", "dropout1d: Received a"):
            warnings.filterwarnings("ignore", said, UserWarning)  # torch's own, about the bad examples
        exec(compile(text, str(path), "exec"), names)
        return thinned.check(names["model"], *names["example"])


def test_the_folder_and_the_registry_agree() -> None:
    folder = ROOT / "src" / "thinned" / "model" / "check" / "rules"
    assert {path.stem for path in folder.glob("thn*.py")} == {
        f"{rule.code}_{rule.name}".lower().replace("-", "_") for rule in RULES
    }
    assert list(rules()) == sorted(rules())
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    for entry, rule in zip(ENTRIES, RULES, strict=True):
        assert (entry.code, entry.name, entry.looks_at, entry.advice) == (
            *(rule.code, rule.name, rule.looks_at),
            rule.advice,
        )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_has_its_texts(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    for text in (rule.summary, rule.what, rule.why, rule.bad, rule.good, rule.instead, rule.reference):
        assert text.strip()
    assert "\n" not in rule.summary
    assert rule.summary.endswith(".")
    compile(rule.bad, "bad", "exec")
    compile(rule.good, "good", "exec")


@pytest.mark.parametrize("rule", SOURCE, ids=lambda rule: rule.code)
def test_source_rules_find_bad_and_nothing_else(rule: Rule) -> None:
    assert codes_in(rule.bad) == {rule.code}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_no_source_rule_finds_anything_in_good(rule: Rule) -> None:
    assert codes_in(rule.good) == set()


@pytest.mark.parametrize("rule", [rule for rule in LIVE if "example = " in rule.bad], ids=lambda rule: rule.code)
def test_live_rules_find_bad(rule: Rule, tmp_path: Path) -> None:
    assert rule.code in {finding.code for finding in run(rule.bad, tmp_path)}


@pytest.mark.parametrize("rule", [rule for rule in LIVE if "example = " in rule.good], ids=lambda rule: rule.code)
def test_no_live_rule_finds_anything_in_good(rule: Rule, tmp_path: Path) -> None:
    found = run(rule.good, tmp_path)
    assert rule.code not in found.counts()
    assert not found.failed, str(found)


@pytest.mark.parametrize("rule", LIVE, ids=lambda rule: rule.code)
def test_a_live_rule_s_examples_are_models(rule: Rule) -> None:
    """A rule that reads source too may have examples that only define classes; this suite then runs them elsewhere."""
    assert rule.source is not None or ("example = " in rule.bad and "example = " in rule.good)


def test_the_page_is_in_step() -> None:
    written = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    assert written == page(), "write it again: python -m thinned.model.check.page > docs/reference/rules.md"


def test_every_family_has_rules() -> None:
    assert {rule.code[3] for rule in RULES} == set("123456")


def test_rules_for_source_know_every_layer_that_takes_p_first() -> None:
    rows = [row for row in VARIANTS if row.where in ("activation", "residual branch")]
    layers = {name for row in rows for name in (row.name, *row.aliases)}
    assert {name.removeprefix("thinned.nn.") for name in MODULES if name.startswith("thinned.")} == layers
