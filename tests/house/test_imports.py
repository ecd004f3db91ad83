"""Imports run one way: noise <- ops <- nn <- model <- {uncertainty, study} <- cli, and uncertainty <- interop."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "thinned"
# Each folder, and the folders that it may import. The root re-exports from all of them.
FOLDERS: dict[str, set[str]] = {"noise": set()}
for upper, lower in [("ops", "noise"), ("nn", "ops"), ("model", "nn"), ("uncertainty", "model"), ("study", "model")]:
    FOLDERS[upper] = {lower} | FOLDERS[lower]
FOLDERS["cli"] = {"uncertainty", "study"} | FOLDERS["study"]
FOLDERS["interop"] = {"uncertainty"} | FOLDERS["uncertainty"]
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def imports(file: Path) -> Iterator[tuple[str, ...]]:
    """Every imported name's full path as parts, wherever in the file the statement stands."""
    package = ("thinned", *file.parent.parts)
    for node in ast.walk(ast.parse((SOURCE / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = (*start, *(node.module.split(".") if node.module else ()))
            yield from ((*module, alias.name) for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_run_one_way(file: Path) -> None:
    folder = file.parts[0]
    assert folder in FOLDERS, f"{file}: say in FOLDERS what {folder}/ may import"
    for parts in imports(file):
        if parts[0] == "thinned":
            imported = parts[1] if len(parts) > 1 else "the root"
            assert imported == folder or imported in FOLDERS[folder], f"{file} imports {'.'.join(parts)}"


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] == "noise"], ids=str)
def test_noise_needs_numpy_only(file: Path) -> None:
    foreign = {parts[0] for parts in imports(file)} - sys.stdlib_module_names - {"numpy", "thinned"}
    assert not foreign


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[:2] == ("study", "report")], ids=str)
def test_report_reads_records_only(file: Path) -> None:
    for parts in imports(file):
        if parts[0] == "thinned":
            assert parts[:3] in {("thinned", "study", "record"), ("thinned", "study", "report")}, f"{file}: {parts}"
