"""The README is true: its code runs, its links lead somewhere, and the Korean one says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import thinned.nn
from thinned.nn.variants import VARIANTS

ROOT = Path(__file__).parents[2]
ENGLISH, KOREAN = (ROOT / name for name in ("README.md", "README.ko.md"))


def blocks(path: Path, language: str) -> list[str]:
    """Fenced code, without its comments, which are translated."""
    found = re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    return [re.sub(r"[ ]*#.*", "", block) for block in found]


def test_the_code_about_layers_runs() -> None:
    using_a_study, *about_layers = blocks(ENGLISH, "python")
    assert "load(" in using_a_study  # run by tests/cli
    torch.manual_seed(0)
    names = {"x": torch.rand(4, 784), "batch": torch.rand(3, 8)}
    for block in about_layers:
        exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["net"], torch.nn.Sequential)
    assert isinstance(names["lstm"], thinned.nn.LSTM)


@pytest.mark.parametrize("language", ["sh", "python"])
def test_both_languages_show_the_same_code(language: str) -> None:
    assert blocks(ENGLISH, language) == blocks(KOREAN, language)


def test_both_languages_have_the_same_sections_tables_and_figures() -> None:
    english, korean = (path.read_text(encoding="utf-8") for path in (ENGLISH, KOREAN))
    for pattern in (r"^#+ ", r"^\|", r"^- \*\*", r"\]\((?!README)[^)]+\)"):
        assert len(re.findall(pattern, english, re.MULTILINE)) == len(re.findall(pattern, korean, re.MULTILINE)), (
            pattern
        )

    figures = [re.findall(r"^\|.*", text, re.MULTILINE) for text in (english, korean)]
    assert re.findall(r"\d+\.\d+", str(figures[0])) == re.findall(r"\d+\.\d+", str(figures[1]))


@pytest.mark.parametrize(
    "path", [ENGLISH, KOREAN, *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_it_is_one_screen() -> None:
    assert len(ENGLISH.read_text(encoding="utf-8").split()) <= 650


def test_every_layer_is_named_where_it_leads() -> None:
    page = "docs/reference/variants.md"
    assert f"]({page})" in ENGLISH.read_text(encoding="utf-8")
    text = (ROOT / page).read_text(encoding="utf-8")
    for row in VARIANTS:
        assert f"`{row.name}`" in text, row.name
