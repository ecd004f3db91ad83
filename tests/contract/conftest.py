"""One list of variants, one file a property: a new row of the table is tested for all of them.

A test that takes `variant` runs over every row, one that takes `keyed` over those that are one field of noise on their
input (the others are made of these). `@pytest.mark.having("inplace")` keeps the rows whose module takes that argument,
`@pytest.mark.dropping` those that drop units.
"""

from __future__ import annotations

import inspect

import pytest

from thinned.nn.variants import VARIANTS, Variant


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture in ("variant", "keyed"):
        if fixture in metafunc.fixturenames:
            rows = [row for row in VARIANTS if fixture == "variant" or row.keyed]
            metafunc.parametrize(fixture, _filtered(rows, metafunc), ids=lambda row: row.name)


def _filtered(rows: list[Variant], metafunc: pytest.Metafunc) -> list[Variant]:
    for mark in metafunc.definition.iter_markers("having"):
        rows = [row for row in rows if mark.args[0] in inspect.signature(row.module).parameters]
    if metafunc.definition.get_closest_marker("dropping"):
        rows = [row for row in rows if row.law != "gaussian"]
    return rows
