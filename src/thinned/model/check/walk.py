"""Checks source files, notebooks and folders. They are read and not imported, and torch is not imported either."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

from .finding import Finding
from .findings import Findings
from .formats import ERROR
from .lens.source_file import SourceFile, read
from .notebook import SUFFIX, read_notebook
from .rule import Rule
from .settings import SKIPPED, CheckError, Settings, prefixes, settings_for

_WHOLE = ("no valid ", "can't be ")  # how a message of ours begins, beside Python's own


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
    """The findings in files, and in every `*.py` and `*.ipynb` file of folders.

    If there is no such file, or none that uses torch, `nothing` of the result says so.

    Raises:
        CheckError: a path does not exist, or a setting is wrong.
    """
    found: list[Finding] = []
    errors: list[Finding] = []
    paths, count, concerned = list(paths), 0, False
    for path, settings in files(paths, errors, **options):
        count += 1
        try:
            source = _source(path)
            errors += source.errors
            concerned = concerned or source.file.uses_torch
            found += map(source.place, check_source(source.file, settings.rules("source", real(path))))
        except SyntaxError as error:
            message = error.msg if error.msg.startswith(_WHOLE) else f"no valid Python: {error.msg}"
            errors.append(Finding(ERROR, message, str(path), error.lineno or 1, error.offset or 1))
        except OSError as error:
            errors.append(Finding(ERROR, f"can't be read: {error.strerror}", str(path)))
        except (RecursionError, MemoryError):
            errors.append(Finding(ERROR, "can't be checked: it is nested too deeply", str(path)))
    nothing = "" if concerned or errors else _nothing(paths, count)
    return Findings(found, errors, nothing)


class _Source(NamedTuple):
    """The text of a file or a notebook, how its findings get their places, and what of it could not be read."""

    file: SourceFile
    place: Callable[[Finding], Finding]
    errors: list[Finding]


def _source(path: Path) -> _Source:
    """Read a file.

    Raises:
        SyntaxError: it is no valid Python, or no valid notebook.
        OSError: it can't be read.
    """
    if path.suffix == SUFFIX:
        cells = read_notebook(path)
        return _Source(SourceFile(str(path), cells.text), cells.place, cells.errors)
    return _Source(SourceFile(str(path), read(path).text), lambda finding: finding, [])


def _nothing(paths: list[str | os.PathLike[str]], count: int) -> str:
    """Why there was nothing to check."""
    where = ", ".join(os.fspath(path) for path in paths[:3]) + (", ..." if len(paths) > 3 else "") or "no paths"
    if not count:
        return f"no Python file and no notebook in {where}"
    return f"no use of torch in {count} {'file' if count == 1 else 'files'} of {where}"


def check_text(path: str, text: str, chosen: Iterable[Rule]) -> list[Finding]:
    """The findings of the chosen rules in a text, without those that a `# noqa` on their line silences.

    Raises:
        SyntaxError: the text is no valid Python.
    """
    return check_source(SourceFile(path, text), chosen)


def check_source(file: SourceFile, chosen: Iterable[Rule]) -> list[Finding]:
    """The findings of the chosen rules in a file, without those that a `# noqa` on their line silences."""
    # A call of one of several functions, as in a loop, may have one finding twice.
    found = dict.fromkeys(finding for rule in chosen if rule.source is not None for finding in rule.source(file))
    return sorted(
        (finding for finding in found if not file.silences(finding.line, finding.code)),
        key=lambda finding: (finding.line, finding.column, finding.code),
    )


def real(path: Path) -> Path:
    """The path without links. A loop of links stays as it is, and is no error here."""
    return Path(os.path.realpath(path))


def files(
    paths: Iterable[str | os.PathLike[str]], errors: list[Finding], **options: Unpack[Options]
) -> Iterator[tuple[Path, Settings]]:
    """Every file to check, once, with its settings. Folders below that can't be entered are added to `errors`.

    Raises:
        CheckError: a path does not exist, an option is wrong, or the settings of a path that is given are.
    """
    select = options.get("select")
    chosen = None if select is None else prefixes(select, "`--select`")
    ignored, excluded = prefixes(options.get("ignore", ()), "`--ignore`"), tuple(options.get("exclude", ()))

    def settings(folder: Path) -> Settings:
        own = settings_for(real(folder))
        kept = own.ignore if chosen is None else ()
        return replace(
            own,
            select=own.select if chosen is None else chosen,
            ignore=(*kept, *ignored),
            exclude=(*own.exclude, *excluded),
        )

    seen: set[Path] = set()
    for given in map(Path, paths):
        if not os.path.lexists(given):
            raise CheckError(f"`check`: a path must name a file or a folder. Got {str(given)!r}, which is not there.")
        found = _below(given, settings, errors) if given.is_dir() else iter([given])
        for path in found:
            own = settings(path.parent)
            resolved = real(path)
            if resolved in seen or (options.get("force_exclude") and own.excludes(resolved)):
                continue
            seen.add(resolved)
            yield path, own


def _below(folder: Path, settings: Callable[[Path], Settings], errors: list[Finding]) -> Iterator[Path]:
    """Every Python file and notebook below a folder that is not excluded, in the order of names."""

    def closed(error: OSError) -> None:
        errors.append(Finding(ERROR, f"can't be read: {error.strerror}", str(Path(error.filename))))

    for where, folders, names in os.walk(folder, onerror=closed):
        try:
            own = settings(Path(where))
        except CheckError as error:
            if Path(where) == folder:
                raise
            errors.append(Finding(ERROR, f"can't be checked: {error}", str(Path(where))))
            folders.clear()
            continue
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED and not own.excludes(real(Path(where) / name))
        )
        for name in sorted(names):
            path = Path(where) / name
            if name.endswith((".py", SUFFIX)) and not own.excludes(real(path)):
                yield path
