"""The class `Plan`: the places of dropout in one model, as a table and as a TOML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...replaced_file import replace_file
from ..edit.anchor import Anchor
from .line import PlanLine
from .table import table
from .toml import read, toml, toml_text, write


@dataclass(frozen=True)
class Plan:
    """The places where dropout should go in a model, with the layer and p for each.

    `print` shows it as a table. `save` writes a file to edit, `load` reads it, `thinned.apply` puts it into the model.
    """

    lines: tuple[PlanLine, ...]
    there: tuple[str, ...] = ()  # dropout that the model has and that stays as it is
    notes: tuple[str, ...] = ()  # advice, and what was left out and why
    model: str = ""  # the name of the model's class

    def __post_init__(self) -> None:
        seen: set[Anchor] = set()
        for line in self.lines:
            if line.anchor in seen:
                raise ValueError(f"`Plan`: every place must stand once. Got {line.where!r} twice. Take one out.")
            seen.add(line.anchor)

    def __iter__(self) -> Iterator[PlanLine]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def enabled(self) -> tuple[PlanLine, ...]:
        """The lines that `apply` puts into the model."""
        return tuple(line for line in self.lines if line.enabled)

    def changed(self, where: str, **settings: Any) -> Plan:
        """A copy of the plan with other settings in one line: `plan.changed("input of fc", p=0.3)`.

        Raises:
            KeyError: the plan has no line whose `where` is this text.
        """
        if where not in (line.where for line in self.lines):
            raise KeyError(
                f"`Plan`: no line stands at {where!r}. Lines: {', '.join(line.where for line in self.lines)}."
            )
        lines = tuple(replace(line, **settings) if line.where == where else line for line in self.lines)
        return replace(self, lines=lines)

    def save(self, path: str | Path) -> None:
        """Write the plan as a TOML file, which can be edited by hand.

        Raises:
            OSError: the file can't be written. One that is there stays as it was.
        """
        replace_file(Path(path), write(self.model, self.lines, self.there, self.notes).encode())

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan from a TOML file.

        Raises:
            ValueError: the text is no TOML, a key is unknown or missing, or a value is not allowed.
            TypeError: a value has the wrong type.
            OSError: the file cannot be read, is no regular file, or has more than 10 MB.

        The message of an error in one place has the file and the line.
        """
        text = toml_text(Path(path))
        return cls.of(toml(text, str(path), "a plan"), text, str(path))

    @classmethod
    def of(cls, data: Mapping[str, Any], text: str, path: str) -> Plan:
        """The plan in the data of a TOML file, whose text is given too. Errors are those of `load`, and name `path`."""
        model, there, notes, entries = read(data, text, path)
        lines = []
        for at, entry in entries:
            try:
                lines.append(PlanLine(**entry))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{at}: {error}") from None
        try:
            return cls(tuple(lines), there, notes, model)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def __str__(self) -> str:
        return table(self.lines, self.there, self.notes)
