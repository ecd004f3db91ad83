"""The pages about Keras, and about every framework, run as they are read: on TensorFlow, once."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest
from tests.house.test_docs import run


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="once")
@pytest.mark.parametrize("page", ["guides/keras.md", "guides/one-mask.md"])
def test_the_code_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(page, tmp_path, monkeypatch)
