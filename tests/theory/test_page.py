"""docs/design/theory.md names the test of every claim: the files exist, and no test here goes unnamed."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_and_the_tests_name_each_other() -> None:
    named = set(re.findall(r"tests/\w+/test_\w+\.py", (ROOT / "docs/design/theory.md").read_text()))
    missing = [name for name in sorted(named) if not (ROOT / name).is_file()]
    assert not missing
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/theory").glob("test_*.py")}
    assert ours - {"tests/theory/test_page.py"} <= named
