"""The pages' code runs: each page from top to bottom, as a reader would type it."""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.lora import as_peft

DOCS = Path(__file__).parents[2] / "docs"
# What has no code to run here: indexes, what a program writes, measurements, and pages told in fragments.
ELSEWHERE = {
    "index.md",
    "guides/index.md",
    *(f"guides/{name}.md" for name in ("hosts", "streams", "study", "study-data", "transforms")),
}
# Pages whose code needs an environment of its own: tests/backends runs them.
BACKENDS = {"guides/jax.md", "guides/keras.md", "guides/one-mask.md"}
# Pages whose code trains for seconds.
LONG = {"guides/chapters.md", "guides/predict.md", "guides/sklearn.md"}
PAGES = sorted(
    page
    for page in (path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    if page not in ELSEWHERE | BACKENDS and not page.startswith(("reference/", "design/"))
)


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def by_tier() -> list[Any]:
    """The pages, with the tiers of those that need a library of models, or that train for seconds."""
    library = re.compile(r"^(?:import|from) (?:timm|torchvision|transformers)\b", re.MULTILINE)
    found = []
    for page in PAGES:
        needs = library.search("\n".join(blocks(DOCS / page)))
        tiers = [mark for mark, holds in ((pytest.mark.zoo, needs), (pytest.mark.long, page in LONG)) if holds]
        found.append(pytest.param(page, marks=tiers))
    return found


@pytest.mark.parametrize("page", by_tier())
def test_the_code_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(page, tmp_path, monkeypatch)


def run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the code of one page in a folder of its own."""
    path = DOCS / page
    monkeypatch.chdir(tmp_path)  # pages may write files
    names: dict[str, Any] = {"__name__": "page"}
    found = blocks(path)
    here = importlib.util.find_spec("peft") is not None
    assert found, f"{page} has no code to run: list it in ELSEWHERE, or show how it is used"
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    for number, block in enumerate(found, 1):
        if block.lstrip().startswith(">>>"):
            example = parser.get_doctest(block, names, f"{page}, block {number}", str(path), 0)
            runner.run(example, clear_globs=False)
            names.update(example.globs)
            assert not runner.failures, f"{page}, block {number}: see the output above"
        else:
            file = tmp_path / f"{path.stem}_block_{number}.py"  # what reads a forward's source finds it here
            file.write_text(block, encoding="utf-8")
            with monkeypatch.context() as patch:  # for this block alone, as transformers asks whether PEFT is installed
                if "import peft" in block and not here:
                    patch.setitem(sys.modules, "peft", as_peft())
                exec(compile(block, str(file), "exec"), names)
