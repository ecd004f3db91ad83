"""The report of `convert` and `revert`: what took whose place, what was left and why; rows and a printed table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..text_table import text_table


@dataclass(frozen=True, slots=True)
class Change:
    """A module at `path` that another took the place of."""

    path: str
    was: str
    now: str
    p: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """A dropout at `path` that was left as it is, and why."""

    path: str
    kind: str
    p: float | None  # None where it does not say
    reason: str


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Conversion:
    """What `convert` or `revert` did, one row a module. `print` shows it as tables.

    >>> print(Conversion((Change("drop", "torch.nn.Dropout", "thinned.nn.Dropout", 0.1),)))
    path  was               is                  p
    drop  torch.nn.Dropout  thinned.nn.Dropout  0.1
    """

    changed: tuple[Change, ...]
    left: tuple[Left, ...] = ()
    already: tuple[str, ...] = ()  # names of layers that were thinned's before
    undo: Callable[[], Conversion] | None = None

    def revert(self) -> Conversion:
        """Undo these changes, and no others that were made of the model.

        Raises:
            RuntimeError: it is the report of a `revert`, or the model is in an active stream.
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
    """The table without the columns that are empty in every row."""
    columns = [number for number in range(len(header)) if any(row[number] for row in rows)]
    shown = [[row[number] for number in columns] for row in (header, *rows)]
    return "\n".join(text_table(shown[0], shown[1:]))
