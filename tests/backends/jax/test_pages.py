"""The page about JAX runs as it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.house.test_docs import run


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("guides/jax.md", tmp_path, monkeypatch)
