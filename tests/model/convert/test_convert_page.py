"""docs/guides/convert.md: its code runs and prints what it shows, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "guides" / "convert.md"


def test_the_code_runs_and_prints_what_the_page_shows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    first, *others = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(first.replace("print(report)", "printed = str(report)"), str(PAGE), "exec"), names)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert names["printed"] == shown.rstrip()
    for block in others:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(others) == 3


def test_the_page_and_the_tests_name_each_other() -> None:
    named = set(re.findall(r"tests/model/convert/test_convert\w*\.py", PAGE.read_text(encoding="utf-8")))
    assert named == {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/model/convert").glob("test_convert*.py")
    }
