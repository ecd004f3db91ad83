"""Source with faults, as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from thinned.model.check.settings import settings_for

NET = """\
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return {call}
"""
BAD = NET.format(call="F.dropout(x, 0.5)")
GOOD = NET.format(call="F.dropout(x, 0.5, training=self.training)")
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file of the working directory, which is a new one."""
    monkeypatch.chdir(tmp_path)
    settings_for.cache_clear()

    def to(name: str, text: str = BAD) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    return to
