"""Names explain themselves: a class name stands once in `src/`, and no name is an insider's word."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "thinned"
FILES = sorted(SOURCE.rglob("*.py"))
# What each of them meant was known only to those who had read the file.
FORBIDDEN = {"spot", "seat", "reach", "tape", "knob", "drawn", "frames", "kept"}
# The same class for two frameworks: one adapter a framework, under the name that users of either look for.
KERAS = "interop/keras/dropout_layers.py"
TWICE = {
    "ScheduleCallback": {"interop/lightning.py", "interop/transformers.py"},
    "Dropout": {"nn/activation.py", KERAS, *(f"interop/jax/{name}.py" for name in ("nnx", "linen", "equinox"))},
    "AlphaDropout": {"nn/selu.py", KERAS},
    "GaussianDropout": {"nn/activation.py", KERAS},
    "LockedDropout": {"nn/recurrent.py", KERAS},
    "StochasticDepth": {"nn/residual.py", KERAS},
    "DropConnect": {"nn/weight.py", "interop/keras/drop_connect.py"},
}


def definitions(text: str) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def attributes(text: str) -> Iterator[str]:
    """What is assigned to `self`, and the fields of a class."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.ClassDef):
            fields = [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
            yield from (field.id for field in fields if isinstance(field, ast.Name))


def words(name: str) -> set[str]:
    """`_DrawnRows` and `drawn_rows` are of the words drawn and rows."""
    return {word.lower() for word in re.findall(r"[A-Z]*[a-z0-9]+|[A-Z]+", name)}


def relative(file: Path) -> str:
    return file.relative_to(SOURCE).as_posix()


def test_no_class_name_stands_twice() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for node in definitions(file.read_text(encoding="utf-8")):
            if isinstance(node, ast.ClassDef):
                homes[node.name.lstrip("_")].append(relative(file))
    assert {name: set(files) for name, files in homes.items() if len(files) > 1} == TWICE


def test_no_name_is_an_insiders_word() -> None:
    found = []
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        names = [file.stem, *(node.name for node in definitions(text)), *attributes(text)]
        found += [f"{relative(file)}: {name}" for name in names if words(name) & FORBIDDEN]
    assert not found, "name it by what it is:\n" + "\n".join(sorted(set(found)))


def test_words_of_a_name() -> None:
    assert words("_DrawnRows") == words("drawn_rows") == {"drawn", "rows"}
    assert "reach" not in words("reachable")
    assert set(attributes("class A:\n    kept: int\n    def f(self):\n        self.tape = kept = 1")) == {
        "kept",
        "tape",
    }
