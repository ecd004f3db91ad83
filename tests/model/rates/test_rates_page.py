"""docs/guides/rates.md: its code runs and prints what it shows, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "guides" / "rates.md"


def test_the_code_runs_and_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        file = tmp_path / f"block_{number}.py"  # where the source of its forwards is found
        file.write_text(block, encoding="utf-8")
        exec(compile(block, str(file), "exec"), names)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert capsys.readouterr().out == shown


def test_the_page_names_its_tests() -> None:
    named = set(re.findall(r"tests/model/\w+/test_\w+\.py", PAGE.read_text(encoding="utf-8")))
    assert named == {
        f"tests/model/{name}.py" for name in ("rates/test_rates", "quiet/test_guard", "rates/test_rates_page")
    }
