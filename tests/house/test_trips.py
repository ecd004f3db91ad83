"""The way from a public function to its work is short: so many files, whoever follows it has read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import thinned

SOURCE = str(Path(thinned.__file__).parent)


def files(call: Callable[[], object]) -> set[str]:
    """The files of ours in which something runs, the root's table of names left out."""
    found: set[str] = set()

    def follow(frame: Any, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(SOURCE):
            found.add(str(Path(file).relative_to(SOURCE)))

    call()  # what is imported late is imported
    before = sys.getprofile()
    sys.setprofile(follow)
    try:
        call()
    finally:
        sys.setprofile(before)
    return found - {"__init__.py"}


@pytest.mark.parametrize(
    ("name", "most"), [("set_rates", 12), ("rates", 11), ("freeze", 6), ("convert", 14), ("inspect", 28)]
)
def test_a_public_function_passes_few_files(name: str, most: int) -> None:
    def call() -> object:
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Dropout(0.1))
        arguments: dict[str, tuple[Any, ...]] = {"set_rates": ({"*": 0.3},), "inspect": (torch.ones(64, 4),)}
        return getattr(thinned, name)(model, *arguments.get(name, ()))

    found = files(call)
    assert 0 < len(found) <= most, sorted(found)
