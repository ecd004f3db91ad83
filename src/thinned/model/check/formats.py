"""Writes findings as text, JSON, workflow commands of GitHub, and SARIF."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...plain_text import plain_line
from .finding import Finding
from .registry import BY_CODE, rule

ERROR = "error"  # in place of a rule's code: the file could not be read
_HALVES = re.compile("[\ud800-\udfff]")
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def shown(path: str) -> str:
    """A path relative to the working directory, if the file is inside it; else the path itself."""
    try:
        return str(Path(path).relative_to(Path.cwd())) if Path(path).is_absolute() else path
    except ValueError:
        return path


def where(finding: Finding) -> str:
    """The position of a finding: `net.py:3:5`, or `net.ipynb:cell 2:3:5`. A live model's place follows, or is alone."""
    cell = [f"cell {finding.cell}"] if finding.cell else []
    numbers = [str(number) for number in (finding.line, finding.column) if number]
    at = ":".join((shown(finding.file), *cell, *numbers)) if finding.file else ""
    return f"{at} {finding.place}" if at and finding.place else at or finding.place or "the model"


def is_advice(finding: Finding) -> bool:
    """Whether the finding is information, with which a check does not fail."""
    return finding.code in BY_CODE and BY_CODE[finding.code].advice


def text(findings: Iterable[Finding]) -> Iterator[str]:
    """A line for each finding, in the form of ruff: `net.py:3:5: THN101 message`."""
    for finding in findings:
        mark = " [*]" if finding.fix is not None else " (advice)" if is_advice(finding) else ""
        yield plain_line(f"{where(finding)}: {finding.code}{mark} {finding.message}")


def to_json(findings: Iterable[Finding]) -> str:
    return _json([_as_dict(finding) for finding in findings])


def _json(value: Any) -> str:
    """JSON in plain UTF-8; the bytes of a name that is no UTF-8 as escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _HALVES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _as_dict(finding: Finding) -> dict[str, Any]:
    fix = finding.fix
    return {
        "code": finding.code,
        "name": _name(finding.code),
        "advice": is_advice(finding),
        "message": finding.message,
        "filename": finding.file or None,
        "cell": finding.cell or None,
        "location": {"row": finding.line, "column": finding.column} if finding.line else None,
        "place": finding.place or None,
        "fix": None
        if fix is None
        else {
            "message": fix.what,
            "edits": [
                {
                    "location": {"row": edit.line, "column": edit.column},
                    "end_location": {"row": edit.end_line, "column": edit.end_column},
                    "content": edit.text,
                }
                for edit in fix.edits
            ],
        },
    }


def to_github(findings: Iterable[Finding]) -> str:
    return "\n".join(map(_command, findings))


def _command(finding: Finding) -> str:
    said = {"title": f"thinned ({finding.code})", "file": shown(finding.file)}
    if not finding.cell:  # a line of a cell is no line of the notebook's file; the message has both
        said |= {"line": str(finding.line or ""), "col": str(finding.column or "")}
    given = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in said.items() if value)
    message = f"{where(finding)}: {finding.code} {finding.message}"
    return f"::{'notice' if is_advice(finding) else 'error'} {given}::{_escaped(message)}"


def _escaped(value: str, also: str = "") -> str:
    for sign in f"%\r\n{also}":
        value = value.replace(sign, f"%{ord(sign):02X}")
    return value


def to_sarif(findings: Sequence[Finding]) -> str:
    used = sorted({finding.code for finding in findings if finding.code in BY_CODE})
    log = {
        "$schema": _SARIF,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "thinned",
                        "version": version("thinned"),
                        "rules": [
                            {
                                "id": code,
                                "name": "".join(word.capitalize() for word in rule(code).name.split("-")),
                                "shortDescription": {"text": rule(code).summary},
                                "fullDescription": {"text": rule(code).what},
                                "help": {"text": rule(code).instead, "markdown": rule(code).instead},
                            }
                            for code in used
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, used) for finding in findings if finding.code != ERROR],
                "invocations": [
                    {
                        "executionSuccessful": all(finding.code != ERROR for finding in findings),
                        "toolExecutionNotifications": [
                            {
                                "level": "error",
                                "message": {"text": _in_cell(finding)},
                                "locations": [_location(finding)],
                            }
                            for finding in findings
                            if finding.code == ERROR
                        ],
                    }
                ],
            }
        ],
    }
    return _json(log)


def _result(finding: Finding, rules: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rules.index(finding.code),
        "level": "note" if is_advice(finding) else "warning",
        "message": {"text": _in_cell(finding)},
        "locations": [_location(finding)],
    }
    if finding.fix is not None:
        replacements = [
            {
                "deletedRegion": {
                    "startLine": edit.line,
                    "startColumn": edit.column,
                    "endLine": edit.end_line,
                    "endColumn": edit.end_column,
                },
                "insertedContent": {"text": edit.text},
            }
            for edit in finding.fix.edits
        ]
        change = {"artifactLocation": {"uri": _uri(finding.file)}, "replacements": replacements}
        result["fixes"] = [{"description": {"text": finding.fix.what}, "artifactChanges": [change]}]
    return result


def _in_cell(finding: Finding) -> str:
    """The message; in a notebook after the cell and its line, because SARIF's regions are of the file."""
    at = f"cell {finding.cell}, line {finding.line}, column {finding.column}: " if finding.cell else ""
    return at + finding.message


def _location(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if finding.file:
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(finding.file)}}
        if finding.line and not finding.cell:
            region = {"startLine": finding.line} | ({"startColumn": finding.column} if finding.column else {})
            location["physicalLocation"]["region"] = region
    if finding.place:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.place, "kind": "module"}]
    return location


def _uri(path: str) -> str:
    seen = Path(shown(path))
    return seen.as_uri() if seen.is_absolute() else quote(os.fsencode(seen.as_posix()))


def _name(code: str) -> str | None:
    return BY_CODE[code].name if code in BY_CODE else None
