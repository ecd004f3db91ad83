"""Faults put into released code are found where they were put, and mended to what was there."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from thinned.model.check.fix import fixed
from thinned.model.check.registry import rules
from thinned.model.check.walk import check_text

# A functional dropout whose last argument is the mode, and a dropout_p that follows it.
TRAINING = re.compile(r"(\bdropout\((?:[^()]|\([^()]*\))*?), training=self\.training\)")
ATTENTION = re.compile(r"(dropout_p=[\w.]+) if self\.training else (0\.0?)(?=\W)")
FILES = {
    "transformers": [
        f"models/{name}/modeling_{name}.py" for name in ("bart", "whisper", "conditional_detr", "biogpt", "pegasus_x")
    ],
    "timm": [f"models/{name}.py" for name in ("vision_transformer", "beit", "swin_transformer", "eva", "densenet")],
}
RULES = [rules()[code] for code in ("THN101", "THN102")]


@pytest.mark.zoo
@pytest.mark.parametrize(("library", "file"), [(library, file) for library in FILES for file in FILES[library]])
def test_what_is_taken_out_is_put_back(library: str, file: str) -> None:
    spec = find_spec(library)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs {library}")
    path = Path(spec.origin).parent / file
    text = path.read_text(encoding="utf-8")
    assert check_text(str(path), text, rules().values()) == []
    broken, functional = TRAINING.subn(r"\1)", text)
    broken, attention = ATTENTION.subn(r"\1", broken)
    assert functional + attention
    counts = [finding.code for finding in check_text(str(path), broken, RULES)]
    assert (counts.count("THN101"), counts.count("THN102")) == (functional, attention)
    mended, made = fixed(str(path), broken, RULES)
    assert made == functional + attention
    assert mended == ATTENTION.sub(r"\1 if self.training else 0.0", text)
