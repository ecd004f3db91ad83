"""Imports run one way at every level: between folders, between the rooms of `model/`, and between files.

Late imports and imports for types alone count like any other. CONTRIBUTING.md and the design say the same.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "thinned"
FILES = {path.relative_to(SOURCE): path for path in sorted(SOURCE.rglob("*.py"))}


def closed(rows: Iterable[tuple[str, set[str]]]) -> dict[str, set[str]]:
    """What each name may import: what its row names, and what those may import."""
    allowed: dict[str, set[str]] = {}
    for name, below in rows:
        allowed[name] = below.union(*(allowed[other] for other in below))
    return allowed


# Each folder, and the folders below it. The root's names come from all of them.
FOLDERS = closed(
    [
        ("noise", set()),
        ("ops", {"noise"}),
        ("nn", {"ops"}),
        ("schedules", {"noise"}),
        ("fit", {"nn"}),
        ("model", {"fit", "schedules"}),
        ("uncertainty", {"model"}),
        ("study", {"uncertainty"}),
        ("interop", {"study"}),
        ("cli", {"interop"}),
    ]
)
# Files of the root that import nothing of ours, and that every folder may import.
BELOW_ALL = {
    "_torch",
    "beside_tensorflow",
    "forked",
    "frameworks",
    "once",
    "plain_text",
    "regular_file",
    "replaced_file",
}
# Each room of `model/`, and the rooms below it.
ROOMS = closed(
    [
        ("text_table", set()),
        ("known", set()),
        ("source", {"known"}),
        ("watch", {"source"}),
        ("inspect", {"watch", "text_table"}),
        ("edit", {"watch"}),
        ("rates", {"inspect", "edit"}),
        ("quiet", {"rates"}),
        ("plan", {"rates"}),
        ("convert", {"quiet"}),
        ("scaling", {"watch"}),
        ("batch_norm", {"quiet"}),
        ("check", {"plan", "convert", "scaling", "batch_norm"}),
    ]
)
# Each room of `study/`, and the rooms below it.
STUDY = closed(
    [
        ("data", set()),
        ("networks", set()),
        ("trial", {"data", "networks"}),
        ("search", {"trial"}),
        ("keep", {"trial"}),
        ("answer", {"search"}),
        ("chapters", {"answer"}),
        ("evidence", {"chapters"}),
        ("network", {"answer"}),
        ("report", {"answer"}),
        ("tuning", {"report", "keep"}),
    ]
)
# Within `check/`: what a rule can ask, the rules, and what runs and shows them.
CHECK = closed([("lens", set()), ("rules", {"lens"})])


@cache
def imports(file: Path) -> tuple[tuple[str, ...], ...]:
    """Every imported name's full path as parts, wherever in the file the statement stands."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[tuple[str, ...]]:
    package = ("thinned", *file.parent.parts)
    for node in ast.walk(ast.parse(FILES[file].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = (*start, *(node.module.split(".") if node.module else ()))
            yield from ((*module, alias.name) for alias in node.names)


def own_imports(file: Path) -> Iterator[tuple[str, ...]]:
    """The imports of this package, as parts below it."""
    return (parts[1:] for parts in imports(file) if parts[0] == "thinned")


def wrong(files: Iterable[Path], depth: int, allowed: Mapping[str, set[str]]) -> list[str]:
    """The imports that go up, between the parts at this depth of a path."""
    found = []
    for file in files:
        own = file.parts[depth].removesuffix(".py")
        for parts in own_imports(file):
            if parts[:depth] == file.parts[:depth] and len(parts) > depth:
                other = parts[depth]
                if other != own and other not in allowed[own]:
                    found.append(f"{file} imports {'.'.join(parts)}")
    return found


def test_folders_import_one_way() -> None:
    files = [file for file in FILES if len(file.parts) > 1]
    assert {file.parts[0] for file in files} == set(FOLDERS), "say in FOLDERS what a new folder may import"
    lower = {name: own | BELOW_ALL | ({"_torch"} if name != "noise" else set()) for name, own in FOLDERS.items()}
    assert not wrong(files, 0, lower)


def test_what_lies_below_all_imports_nothing_of_ours() -> None:
    below = {*BELOW_ALL, "_torch"}
    assert not {file: own for file in FILES if file.stem in below and (own := list(own_imports(file)))}


def test_rooms_import_one_way() -> None:
    files = [file for file in FILES if file.parts[0] == "model" and file.name != "__init__.py"]
    assert {file.parts[1].removesuffix(".py") for file in files} == set(ROOMS), "say in ROOMS what a room may import"
    assert not wrong(files, 1, ROOMS)


def test_a_rule_asks_the_lens_and_is_known_to_the_registry_alone() -> None:
    files = [file for file in FILES if file.parts[:2] == ("model", "check") and len(file.parts) > 3]
    assert {file.parts[2] for file in files} == set(CHECK)
    texts = {"finding", "rule"}  # what a rule is made of, and what it gives
    assert not wrong(files, 2, {name: own | texts for name, own in CHECK.items()})


def test_no_files_import_one_another_in_a_circle() -> None:
    def file_of(parts: tuple[str, ...]) -> Path | None:
        for end in range(len(parts), 0, -1):
            for path in (Path(*parts[:end]).with_suffix(".py"), Path(*parts[:end], "__init__.py")):
                if path in FILES:
                    return path
        return None

    graph = {
        file: {other for parts in own_imports(file) if (other := file_of(parts)) not in (None, file)} for file in FILES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(map(str, error.args[1]))}")


def test_noise_needs_numpy_only() -> None:
    files = [file for file in FILES if file.parts[0] == "noise"]
    known = sys.stdlib_module_names | {"numpy", "thinned"}
    assert not {parts[0] for file in files for parts in imports(file)} - known


def test_the_vocabulary_needs_no_torch() -> None:
    """What rules for source code read is there without torch: its table, and what a rule asks of a file."""
    for name in ("functions", "where"):
        file = Path("model", "known", f"{name}.py")
        assert "torch" not in {parts[0] for parts in imports(file)}, name
        assert "_torch" not in {parts[0] for parts in own_imports(file)}, name


def test_report_reads_records_and_how_to_say_them_only() -> None:
    for file in FILES:
        if file.parts[:2] == ("study", "report"):
            for parts in own_imports(file):
                said = parts[:3] == ("study", "answer", "speech")
                assert said or parts[:2] in {("study", "record"), ("study", "report")} or parts[0] in BELOW_ALL, (
                    f"{file}: {parts}"
                )
    assert {parts[:2] for parts in own_imports(Path("study", "answer", "speech.py"))} == {("study", "record")}


def test_study_rooms_import_one_way() -> None:
    """Between the study's rooms; the files beside them bring the rooms together."""
    files = [file for file in FILES if file.parts[0] == "study" and len(file.parts) > 2]
    assert {file.parts[1] for file in files} == set(STUDY), "say in STUDY what a new room may import"
    assert not wrong(files, 1, {name: own | {"record", "error"} for name, own in STUDY.items()})


def test_an_import_upwards_and_a_circle_are_noticed() -> None:
    file = Path("model", "rates", "rate_places.py")
    assert wrong([file], 1, {**ROOMS, "rates": set()})
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_the_page_says_the_same() -> None:
    """docs/design/house.md has the tables that are enforced here, each row with the rows right below it."""
    text = (SOURCE.parents[1] / "docs" / "design" / "house.md").read_text(encoding="utf-8")
    rows = [
        re.findall(r"`([\w/]+)`", cell) for line in text.splitlines() if line.startswith("| `") for cell in _ends(line)
    ]
    said = {name: set(below) for (name,), below in zip(rows[::2], rows[1::2], strict=True)}
    names = iter(said)
    for allowed in (FOLDERS, ROOMS, STUDY):
        table = list(islice(names, len(allowed)))
        assert set(table) == set(allowed)
        assert closed((name, said[name]) for name in table) == allowed
    assert not list(names)


def _ends(line: str) -> tuple[str, str]:
    """The first and the last cell of a table's row."""
    cells = line.strip().strip("|").split("|")
    return cells[0], cells[-1]
