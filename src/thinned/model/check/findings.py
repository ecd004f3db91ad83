"""The class `Findings`: the result of a check, as a sequence, as text, and in formats for other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import overload

from ...plain_text import plain_line
from . import formats
from .finding import Finding


class Findings(Sequence[Finding]):
    """The findings of one check, ordered by file and line. It is empty, and so false, if nothing is wrong.

    `print(findings)` shows a line for each finding, and a summary. `errors` has the files that could not be read.
    `nothing` says why nothing was checked, as where a folder has no Python file; it is "" otherwise.

    >>> print(Findings([Finding("THN402", "p is 0.9", "net.py", 3, 5)]))
    net.py:3:5: THN402 p is 0.9
    Found 1 finding.
    """

    def __init__(self, found: Iterable[Finding] = (), errors: Iterable[Finding] = (), nothing: str = "") -> None:
        self._found = tuple(sorted(found, key=_order))
        self.nothing = nothing
        self.errors = tuple(errors)

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> Findings: ...
    def __getitem__(self, index: int | slice) -> Finding | Findings:
        return Findings(self._found[index]) if isinstance(index, slice) else self._found[index]

    def __str__(self) -> str:
        return "\n".join((*formats.text((*self.errors, *self._found)), self.summary()))

    def __repr__(self) -> str:
        return f"<Findings: {', '.join(f'{code} {count}' for code, count in self.counts().items()) or 'none'}>"

    @property
    def failed(self) -> bool:
        """Whether the check failed: there is a finding that is not advice, or nothing was checked."""
        return bool(self.nothing) or not all(formats.is_advice(finding) for finding in self._found)

    def counts(self) -> dict[str, int]:
        """The number of findings of each code."""
        return dict(sorted(Counter(finding.code for finding in self._found).items()))

    def summary(self) -> str:
        """One line: the number of findings, and how many of them `--fix` can fix."""
        if self.nothing:
            return plain_line(f"Nothing to check: {self.nothing}.")
        if not self._found and not self.errors:
            return "All checks passed."
        advice = sum(map(formats.is_advice, self._found))
        said = [f"Found {_count(len(self._found), 'finding')}{f', {advice} of them advice' if advice else ''}."]
        if self.errors:
            said.append(f"{_count(len({error.file for error in self.errors}), 'file')} could not be read.")
        if fixable := sum(finding.fix is not None for finding in self._found):
            said.append(f"{fixable} can be mended with --fix.")
        return " ".join(said)

    def to_json(self) -> str:
        """A JSON array with an object for each finding."""
        return formats.to_json((*self.errors, *self._found))

    def to_github(self) -> str:
        """Workflow commands of GitHub, which shows them beside the changed lines."""
        return formats.to_github((*self.errors, *self._found))

    def to_sarif(self) -> str:
        """SARIF 2.1.0, the format of code scanning services."""
        return formats.to_sarif((*self.errors, *self._found))


def _order(finding: Finding) -> tuple[object, ...]:
    return finding.file, finding.cell, finding.line, finding.column, finding.code, finding.place


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
