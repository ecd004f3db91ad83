"""Rules are silent on right code, as people write it."""

from __future__ import annotations

import pytest

from thinned.model.check.registry import rules
from thinned.model.check.walk import check_text

from .right_code.classes import CLASSES
from .right_code.forms import FORMS
from .right_code.frameworks import FRAMEWORKS
from .right_code.scripts import NET, SCRIPTS

HEAD = f"""\
from functools import partial
from flash_attn import flash_attn_func
from xformers.ops import memory_efficient_attention
{NET}"""
STYLES = (SCRIPTS, CLASSES, FORMS, FRAMEWORKS)
FILES = {name: text for style in STYLES for name, text in style.items()}


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_found(name: str) -> None:
    assert [(found.code, found.message) for found in check_text("right.py", HEAD + FILES[name], rules().values())] == []


def test_there_are_many_styles() -> None:
    assert len(FILES) == sum(map(len, STYLES)) >= 140
