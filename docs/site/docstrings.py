"""The package's docstrings as Markdown, for the reference pages: an extension of griffe, which `mkdocs.yml` loads.

Docstrings are written to be read in a terminal: `Arguments:` names several arguments in one entry, `Cost:` stands in
running text, examples follow without a heading. Here each becomes the Markdown that shows it: lists, bold words, code
blocks and links. An argument that the signature does not have is warned of, and a warning fails `make docs`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import griffe

DOCS = Path(__file__).parents[1]
LISTS = ("Arguments", "Raises", "Attributes")
WORDS = (*LISTS, "Returns", "Shape", "Cost", "Source", "Warns", "Arguments, errors", "Of a call")
_SECTION = re.compile(rf"({'|'.join((*LISTS, 'Returns'))}):")
_ENTRY = re.compile(r"((?:\*{0,2}\w+)(?:, \*{0,2}\w+)*): (.*)")
_WORD = re.compile(rf"(^|[.;] )({'|'.join(WORDS)}): ", re.MULTILINE)
_NAME = re.compile(r"`((?:thinned\.)?[\w.]+)`")
_PAGE = re.compile(r"`?docs/((?:guides|design|reference|start)/\w+)\.md`?")
_log = logging.getLogger("mkdocs.plugins.docstrings")  # whose warnings strict mode counts


class Docstrings(griffe.Extension):
    """Rewrite every docstring of the package once it is loaded, and take the comment beside a field for its text."""

    def __init__(self) -> None:
        self.documented = documented()

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        for path in (path for path in self.documented if path.startswith(f"{pkg.path}.")):
            if pkg[path.removeprefix(f"{pkg.path}.")].is_module:
                _log.warning("%s: a file has this name; the entry is `%s.NAME`, with a `heading`", path, path)
        for owner in everything(pkg):
            if isinstance(owner, griffe.Attribute) and owner.docstring is None:
                owner.docstring = comment(owner)
            if owner.docstring is None:
                continue
            parameters = {parameter.name.lstrip("*") for parameter in getattr(owner, "parameters", ())}
            unknown = set(arguments(owner.docstring.value)) - parameters
            if unknown and parameters:
                _log.warning("%s: no argument is called %s", owner.path, ", ".join(sorted(unknown)))
            near = {name: path for name, path in self.near(owner.path).items() if name not in parameters}
            owner.docstring.value = markdown(owner.docstring.value, near)

    def near(self, path: str) -> Mapping[str, str]:
        """What a name in backticks means at an object: of those that end in it, the one in the nearest package."""

        def common(other: str) -> int:
            pairs = zip(path.split("."), other.split("."), strict=False)
            return next((i for i, (a, b) in enumerate(pairs) if a != b), 9)

        return {name: max(paths, key=common) for name, paths in self.documented.items()}


def documented() -> dict[str, list[str]]:
    """What has an entry in the reference, by its last name and by its whole name."""
    found: dict[str, list[str]] = {}
    for page in sorted((DOCS / "reference").glob("*.md")):
        for path in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            for name in (path, path.rpartition(".")[2]):
                found.setdefault(name, []).append(path)
    return found


def everything(owner: griffe.Object) -> Iterator[griffe.Object]:
    yield owner
    for member in owner.members.values():
        if isinstance(member, griffe.Object):
            yield from everything(member)


def comment(field: griffe.Attribute) -> griffe.Docstring | None:
    """The comment at the end of a field's line, with a capital; a class variable without a type is no field."""
    if field.lineno is None or field.annotation is None or not isinstance(field.filepath, Path):
        return None
    _, mark, text = field.filepath.read_text(encoding="utf-8").splitlines()[field.lineno - 1].partition("  # ")
    if not mark or text.startswith(("type:", "noqa")):
        return None
    return griffe.Docstring(f"{text[0].upper()}{text[1:]}.", parent=field)


def arguments(text: str) -> Iterator[str]:
    """The names that the section `Arguments` explains."""
    for heading, lines in sections(text):
        if heading == "Arguments":
            for names, _ in entries(lines):
                yield from (name.lstrip("*") for name in names.split(", "))


def markdown(text: str, links: Mapping[str, str]) -> str:
    """A docstring as Markdown; `links` says what a name in backticks leads to."""
    parts = []
    for heading, lines in sections(text):
        if heading == ">>>":
            parts.append("```pycon\n" + "\n".join(lines).rstrip() + "\n```")
        elif heading in LISTS:
            listed = [
                f"- {', '.join(f'`{name}`' for name in names.split(', '))}: {prose(said, links)}"
                for names, said in entries(lines)
            ]
            parts.append(f"**{heading}:**\n\n" + "\n".join(listed))
        elif heading:
            parts.append(f"**{heading}:** " + prose("\n".join(lines).strip(), links))
        else:
            parts.append(prose("\n".join(lines).strip(), links))
    return "\n\n".join(part for part in parts if part)


def sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """The parts of a docstring: a heading with its indented lines, ">>>" with an example, "" with a paragraph."""
    lines = text.splitlines()
    while lines:
        first = lines.pop(0)
        heading = _SECTION.fullmatch(first)
        if heading:
            yield heading[1], [line.removeprefix("    ") for line in _taken(lines, _indented)]
        elif first:
            yield ">>>" if first.startswith(">>> ") else "", [first, *_taken(lines, _running)]


def _indented(line: str) -> bool:
    return not line or line.startswith("    ")


def _running(line: str) -> bool:
    return bool(line) and not _SECTION.fullmatch(line)


def _taken(lines: list[str], belongs: Callable[[str], bool]) -> Iterator[str]:
    while lines and belongs(lines[0]):
        yield lines.pop(0)


def entries(lines: Collection[str]) -> Iterator[tuple[str, str]]:
    """The names and the text of each entry of a section."""
    names, said = "", ""
    for line in lines:
        entry = None if line.startswith(" ") else _ENTRY.fullmatch(line)
        if entry:
            if names:
                yield names, said
            names, said = entry[1], entry[2]
        elif line:
            said += f"\n  {line.strip()}"
    if names:
        yield names, said


def prose(text: str, links: Mapping[str, str]) -> str:
    """Running text: bold words, links to pages and to entries of the reference, and no accidental emphasis."""
    pieces = re.split(r"(``.+?``|`[^`]+`)", _WORD.sub(r"\1@@\2:@@ ", text), flags=re.DOTALL)
    for number, piece in enumerate(pieces):
        if number % 2:
            name = _NAME.fullmatch(piece)
            page = _PAGE.fullmatch(piece)
            if page:
                pieces[number] = f"[{page[1]}](../{page[1]}.md)"
            elif name and name[1] in links:
                pieces[number] = f"[{piece}][{links[name[1]]}]"
        else:
            escaped = re.sub(r"([*_])", r"\\\1", piece).replace("<", "&lt;")
            pieces[number] = _PAGE.sub(r"[\1](../\1.md)", escaped)
    return "".join(pieces).replace("@@", "**")
