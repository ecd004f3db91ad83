"""The pages about Keras run as they are read; on TensorFlow that with every framework too."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest
from tests.house.test_docs import run

PAGES = ["guides/keras.md", *(["guides/one-mask.md"] if keras.backend.backend() == "tensorflow" else [])]


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(page, tmp_path, monkeypatch)
