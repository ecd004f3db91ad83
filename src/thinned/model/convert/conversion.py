"""The report of `convert` and `revert`: which modules were replaced, and which were not and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..text_table import text_table


@dataclass(frozen=True, slots=True)
class Change:
    """One replaced module: `was` and `now` are the classes before and after, `path` is its name in the model."""

    path: str
    was: str
    now: str
    p: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """One dropout that was not replaced, with its name in the model (`path`) and the reason."""

    path: str
    kind: str
    p: float | None  # None if its p is not a number or has no known attribute
    reason: str


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Conversion:
    """The report of one call of `convert` or `revert`, with one row for each module. `print` shows it as tables.

    >>> print(Conversion((Change("drop", "torch.nn.Dropout", "thinned.nn.Dropout", 0.1),)))
    path  was               is                  p
    drop  torch.nn.Dropout  thinned.nn.Dropout  0.1
    """

    changed: tuple[Change, ...]
    left: tuple[Left, ...] = ()
    already: tuple[str, ...] = ()  # names of layers that were thinned's before the call
    undo: Callable[[], Conversion] | None = None  # None in the report of a `revert`

    def revert(self) -> Conversion:
        """Undo the changes of this report, and no other changes of the model.

        Returns:
            The report of the way back.

        Raises:
            RuntimeError: this is the report of a `revert`.
            RuntimeError: the model is in an active stream.
            RuntimeError: a layer is frozen, or compiled on its own.
            RuntimeError: a layer is inside `with thinned.disabled(...)`.
        """
        if self.undo is None:
            raise RuntimeError(
                "`Conversion.revert`: it must be the report of a conversion. Got that of a revert. Use thinned.convert."
            )
        return self.undo()

    def __repr__(self) -> str:
        already = f", {len(self.already)} thinned's already" if self.already else ""
        return f"<Conversion: {len(self.changed)} changed, {len(self.left)} left{already}>"

    def __str__(self) -> str:
        parts = ["Nothing was changed."]
        if self.changed:
            rows = [(row.path, row.was, row.now, f"{row.p:g}", row.note) for row in self.changed]
            parts = [_table(("path", "was", "is", "p", "note"), rows)]
        if self.already:
            names = ", ".join(self.already[:3]) + (", ..." if len(self.already) > 3 else "")
            parts.append(f"{len(self.already)} thinned's already: {names}")
        if self.left:
            left = [(row.path, row.kind, "" if row.p is None else f"{row.p:g}", row.reason) for row in self.left]
            parts.append("Left as they are:\n" + _table(("path", "is", "p", "reason"), left))
        return "\n\n".join(parts)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """The rows as a table, without the columns that are empty in every row."""
    columns = [number for number in range(len(header)) if any(row[number] for row in rows)]
    shown = [[row[number] for number in columns] for row in (header, *rows)]
    return "\n".join(text_table(shown[0], shown[1:]))
