"""One list of variants, one file a property: a new row of the table is tested for all of them."""

from __future__ import annotations

import pytest

from thinned.nn.variants import VARIANTS, Variant


@pytest.fixture(params=VARIANTS, ids=lambda variant: variant.name)
def variant(request: pytest.FixtureRequest) -> Variant:
    """Every variant."""
    row: Variant = request.param
    return row


@pytest.fixture(params=[row for row in VARIANTS if row.keyed], ids=lambda variant: variant.name)
def keyed(request: pytest.FixtureRequest) -> Variant:
    """Every variant that is one field of noise on its input; the others are made of these."""
    row: Variant = request.param
    return row
