"""Every known fault of others is accounted for in items.toml: by tests, or by a feature that does not exist yet."""

from __future__ import annotations

import ast
import itertools
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import thinned.nn.functional

ROOT = Path(__file__).parents[2]
SOURCE = Path(thinned.__file__).parent
LISTS: dict[str, list[dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("items.toml").read_text())
ITEMS = {f"{kind} {item['number']}": item for kind, items in LISTS.items() for item in items}
WAITING = {
    feature: [name for name, item in ITEMS.items() if feature in item.get("waits", {})]
    for feature in sorted(set(itertools.chain(*(item.get("waits", {}) for item in ITEMS.values()))))
}


def test_the_lists_are_complete() -> None:
    numbers = {kind: [item["number"] for item in items] for kind, items in LISTS.items()}
    assert numbers == {"flaw": [*range(1, 39)], "check": [*range(1, 10)], "kernel": [*range(1, 19)]}


@pytest.mark.parametrize("name", ITEMS)
def test_an_item_has_tests_or_says_what_it_waits_for(name: str) -> None:
    item = ITEMS[name]
    assert item.keys() - {"waits"} == (
        {"number", "promise", "tests"} if name.startswith("check") else {"number", "peer", "fault", "tests"}
    )
    assert item["tests"] or item["waits"]
    assert all(item.get("waits", {}).values())
    assert len(set(item["tests"])) == len(item["tests"])


def test_every_named_test_is_there() -> None:
    """Where pytest looks for tests: a function of this name at the top of a file of tests."""
    for named in {test for item in ITEMS.values() for test in item["tests"]}:
        file, _, name = named.partition("::")
        assert Path(file).name.startswith("test_"), named
        assert name.startswith("test_"), named
        assert name in functions(ROOT / "tests" / file), named


@cache
def functions(file: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("feature", WAITING)
def test_what_an_item_waits_for_is_not_there_yet(feature: str) -> None:
    """With the feature comes its test: this one fails on the day when it is built and its items still wait."""
    exports = itertools.chain(thinned.__all__, thinned.nn.__all__, thinned.nn.functional.__all__)
    files = (path.stem for folder in ("nn", "model", "uncertainty") for path in (SOURCE / folder).glob("*.py"))
    built = [name for name in (*exports, *files) if feature.lower() in name.lower().replace("_", "")]
    assert not built, f"{built} is there: write the tests of {WAITING[feature]} and name them in items.toml"
