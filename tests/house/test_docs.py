"""The pages' code runs: each page from top to bottom, as a reader would type it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
# What is run elsewhere: written by a program, measured by benchmarks, or told in fragments.
ELSEWHERE = {"complaints", "noise", "performance", "rules", "streams", "study", "theory", "transforms", "zoo"}
PAGES = sorted(path for path in DOCS.glob("*.md") if path.stem not in ELSEWHERE)


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # pages may write files
    names: dict[str, Any] = {"__name__": "page"}
    found = blocks(path)
    assert found, f"{path.name} has no code to run: list it in ELSEWHERE, or show how it is used"
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    for number, block in enumerate(found, 1):
        if block.lstrip().startswith(">>>"):
            example = parser.get_doctest(block, names, f"{path.name}, block {number}", str(path), 0)
            runner.run(example, clear_globs=False)
            names.update(example.globs)
            assert not runner.failures, f"{path.name}, block {number}: see the output above"
        else:
            file = tmp_path / f"{path.stem}_block_{number}.py"  # what reads a forward's source finds it here
            file.write_text(block, encoding="utf-8")
            exec(compile(block, str(file), "exec"), names)
