"""The documentation as a site: every public name has an entry, every page a place in the navigation.

`make docs` builds it and checks its links. What it can't know stands here.
"""

from __future__ import annotations

import ast
import importlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe
import pytest
import yaml  # type: ignore[import-untyped]
from docs.site.docstrings import Docstrings, markdown
from docs.site.pages import on_page_content, on_page_markdown, on_post_page

from thinned.cli.app import app
from thinned.nn.variants import VARIANTS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
# A function that is called as its file is has its public name as a heading.
ENTRY = re.compile(r"^::: (\S+)$(?:\n    options:\n      heading: (\S+))?", re.MULTILINE)
ENTRIES = [heading or path for text in PAGES.values() for path, heading in ENTRY.findall(text)]
# The modules whose public names have entries: what a page of the reference is named after, and the frameworks' own.
MODULES = [
    *("thinned", "thinned.nn", "thinned.nn.functional", "thinned.noise", "thinned.ops", "thinned.schedules"),
    *("thinned.study", "thinned.interop.sklearn"),
]
# What is read and not imported: the frameworks are in an environment of their own.
READ = ["thinned.interop.jax", "thinned.interop.keras"]
READ_FILES = ["thinned.interop.jax.nnx", "thinned.interop.jax.linen", "thinned.interop.jax.equinox"]
WITHOUT_ALL = [  # their public names are what pages show of them
    *("thinned.uncertainty.scores", "thinned.uncertainty.selective"),
    *("thinned.interop.lightning", "thinned.interop.transformers"),
]


def nav(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values() if isinstance(part, dict) else part:
            yield from nav(inner)


def test_every_page_has_its_place_in_the_navigation() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["strict"]
    places = list(nav(settings["nav"]))
    assert len(set(places)) == len(places)
    assert set(places) == set(PAGES)
    assert [next(iter(section)) for section in settings["nav"]] == ["Home", "Start", "Guides", "Reference", "Design"]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_an_entry(name: str) -> None:
    module = importlib.import_module(name)
    public = {f"{name}.{one}" for one in module.__all__ if not isinstance(getattr(module, one), ModuleType)}
    assert public - {"thinned.__version__"} <= set(ENTRIES)


def names_in(module: str) -> list[str]:
    """What `__all__` of a package has, or the classes of a file, as their text says."""
    path = ROOT.joinpath("src", *module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def test_every_name_for_another_framework_has_an_entry() -> None:
    public = {f"{module}.{name}" for module in (*READ, *READ_FILES) for name in names_in(module)}
    assert public == {entry for entry in ENTRIES if entry.startswith(tuple(READ))}


def test_every_public_module_has_a_page() -> None:
    import thinned

    modules = {one for one in thinned.__all__ if isinstance(getattr(thinned, one), ModuleType)}
    assert modules - {"model"} <= {Path(page).stem for page in PAGES if page.startswith("reference/")}


def test_every_entry_is_one_of_a_name_that_is_there() -> None:
    assert len(set(ENTRIES)) == len(ENTRIES)
    for entry in ENTRIES:
        module, _, name = entry.rpartition(".")
        if module in (*READ, *READ_FILES):
            continue
        assert module in (*MODULES, *WITHOUT_ALL), entry
        found = getattr(importlib.import_module(module), name)
        assert module in WITHOUT_ALL or name in importlib.import_module(module).__all__, entry
        assert found is not None


def test_what_pages_import_has_an_entry() -> None:
    imports = re.findall(
        r"^ *from (thinned[\w.]*) import ([\w, ]+?)(?: as \w+)?$", "\n".join(PAGES.values()), re.MULTILINE
    )
    assert len(imports) > 5
    for module, names in imports:
        for name in names.split(", "):
            assert f"{module}.{name}" in ENTRIES


@pytest.mark.parametrize("page", PAGES)
def test_no_page_reaches_into_the_rooms(page: str) -> None:
    assert "thinned.model" not in PAGES[page]


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "docs"])
def test_every_page_that_a_text_names_is_there(folder: str) -> None:
    for path in (path for kind in ("*.py", "*.md", "*.txt") for path in (ROOT / folder).rglob(kind)):
        for page in re.findall(r"\bdocs/([\w/]+\.md)", path.read_text(encoding="utf-8")):
            assert page in PAGES, f"{path.relative_to(ROOT)} names docs/{page}"


def test_the_table_of_variants_is_the_program_s() -> None:
    lines = re.findall(r"^\| \[`.*", PAGES["reference/variants.md"], re.MULTILINE)
    for row, line in zip(VARIANTS, lines, strict=True):
        names, _, where, shared, law, scaling, paper = line.strip("| ").split(" | ")
        assert re.findall(r"`(\w+)`", names) == [row.name, *row.aliases]
        assert (where, law, scaling, paper) == (row.where, row.law, row.scaling, row.paper)
        assert shared.replace("`", "") == (row.shared if row.shared == "none" else f"{row.shared} of {row.layout}")


def test_every_command_is_in_the_reference() -> None:
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands == set(re.findall(r"`thinned (\w+)[^`]*`", PAGES["reference/index.md"])) - {"COMMAND"}


DOCSTRING = """Zero 2**-3 of `x`, as `drop` does.

Arguments:
    x, y: tensors,
        of any shape.

Returns: y.

Raises: as `drop`. Cost: 2 ns (docs/design/noise.md).

>>> drop([1])
[1]"""
SHOWN = r"""Zero 2\*\*-3 of `x`, as [`drop`][ops.drop] does.

**Arguments:**

- `x`, `y`: tensors,
  of any shape.

**Returns:** y.

**Raises:** as [`drop`][ops.drop]. **Cost:** 2 ns ([design/noise](../design/noise.md)).

```pycon
>>> drop([1])
[1]
```"""


def test_a_docstring_becomes_markdown() -> None:
    assert markdown(DOCSTRING, {"drop": "ops.drop"}) == SHOWN


def test_an_argument_that_is_not_there_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    text = f'def thin(x, z):\n    """{DOCSTRING}"""\n'
    package = griffe.visit("package", filepath=Path("package.py"), code=text)
    with caplog.at_level(logging.WARNING):
        Docstrings().on_package(pkg=package)
    assert [record.getMessage() for record in caplog.records] == ["package.thin: no argument is called y"]
    shown = package["thin"].docstring
    assert shown is not None
    assert "**Arguments:**" in shown.value


def test_the_comment_beside_a_field_is_its_text(tmp_path: Path) -> None:
    file = tmp_path / "package.py"
    file.write_text("class Kept:\n    width: int  # in units\n    other: int\n")
    package = griffe.visit("package", filepath=file, code=file.read_text())
    Docstrings().on_package(pkg=package)
    width, other = package["Kept.width"].docstring, package["Kept.other"].docstring
    assert width is not None
    assert width.value == "In units."
    assert other is None


class _Page:
    class file:  # noqa: N801  mkdocs' name
        src_uri = "guides/plan.md"


def test_formulas_and_pages_named_by_their_path() -> None:
    text = "See `docs/design/theory.md`.\n\n```math\nq\n```\n\n```\ndocs/design/theory.md\n```\n"
    shown = on_page_markdown(text, page=_Page)
    assert shown == "See [design/theory](../design/theory.md).\n\n$$\nq\n$$\n\n```\ndocs/design/theory.md\n```\n"
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">' in on_page_content(
        r'<span class="arithmatex">\(x \lt q\)</span>'
    )


def test_a_page_that_needs_the_network_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    on_post_page('<a href="https://example.org">a link is fine</a><script src="own.js"></script>', page=_Page)
    assert not caplog.records
    on_post_page('<script async src="https://example.org/x.js"></script>', page=_Page)
    assert "guides/plan.md loads something from the network" in caplog.text
