"""Checks source files and folders. The files are read and not imported, and torch is not imported either."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from .finding import Finding
from .findings import Findings
from .formats import ERROR
from .lens.source_file import SourceFile, read
from .rule import Rule
from .settings import SKIPPED, CheckError, Settings, prefixes, settings_for


class Options(TypedDict, total=False):
    """The options of a check of files, in addition to [tool.thinned].

    - select, ignore: codes or beginnings of codes. `select` replaces both `select` and `ignore` of the settings.
    - exclude: patterns of paths to leave out.
    - force_exclude: leave excluded files out also if they are given as paths themselves.
    """

    select: Iterable[str] | None
    ignore: Iterable[str]
    exclude: Iterable[str]
    force_exclude: bool


def check_paths(paths: Iterable[str | os.PathLike[str]], **options: Unpack[Options]) -> Findings:
    """The findings in files, and in every `*.py` file of folders.

    Raises:
        CheckError: a path does not exist, or a setting is wrong.
    """
    found: list[Finding] = []
    errors: list[Finding] = []
    for path, settings in files(paths, **options):
        try:
            found += check_text(str(path), read(path)[0], settings.rules("source", path.resolve()))
        except SyntaxError as error:
            errors.append(
                Finding(ERROR, f"no valid Python: {error.msg}", str(path), error.lineno or 1, error.offset or 1)
            )
        except OSError as error:
            errors.append(Finding(ERROR, f"can't be read: {error.strerror}", str(path)))
    return Findings(found, errors)


def check_text(path: str, text: str, chosen: Iterable[Rule]) -> list[Finding]:
    """The findings of the chosen rules in a text, without those that a `# noqa` on their line silences.

    Raises:
        SyntaxError: the text is no valid Python.
    """
    file = SourceFile(path, text)
    found = (finding for rule in chosen if rule.source is not None for finding in rule.source(file))
    return sorted(
        (finding for finding in found if not file.silences(finding.line, finding.code)),
        key=lambda finding: (finding.line, finding.column, finding.code),
    )


def files(paths: Iterable[str | os.PathLike[str]], **options: Unpack[Options]) -> Iterator[tuple[Path, Settings]]:
    """Every file to check, once, with its settings."""
    select = options.get("select")
    chosen = None if select is None else prefixes(select, "`--select`")
    ignored, excluded = prefixes(options.get("ignore", ()), "`--ignore`"), tuple(options.get("exclude", ()))

    def settings(folder: Path) -> Settings:
        own = settings_for(folder.resolve())
        kept = own.ignore if chosen is None else ()
        return replace(
            own,
            select=own.select if chosen is None else chosen,
            ignore=(*kept, *ignored),
            exclude=(*own.exclude, *excluded),
        )

    seen: set[Path] = set()
    for given in map(Path, paths):
        if not given.exists():
            raise CheckError(f"`check`: a path must name a file or a folder. Got {str(given)!r}, which is not there.")
        found = _below(given, settings) if given.is_dir() else iter([given])
        for path in found:
            own = settings(path.parent)
            resolved = path.resolve()
            if resolved in seen or (options.get("force_exclude") and own.excludes(resolved)):
                continue
            seen.add(resolved)
            yield path, own


def _below(folder: Path, settings: Callable[[Path], Settings]) -> Iterator[Path]:
    """Every `*.py` file in a folder and its subfolders that is not excluded, in the order of names."""
    for where, folders, names in os.walk(folder):
        own = settings(Path(where))
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED and not own.excludes((Path(where) / name).resolve())
        )
        for name in sorted(names):
            path = Path(where) / name
            if name.endswith(".py") and not own.excludes(path.resolve()):
                yield path
