"""The benchmarks by their command lines, in this process: importing torch takes longer than they do."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(name: str, *arguments: object) -> str:
    """What `python -m benchmarks.<name>` prints. It ends by SystemExit where its exit status is not 0."""
    module = importlib.import_module(f"benchmarks.{name}")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [f"benchmarks.{name}", *map(str, arguments)])
        module.main()
    return printed.getvalue()


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
