"""`NoiseLeft`: the error for noise that was drawn where it should be off, with the place that drew it."""

from __future__ import annotations

from .drawing import Drawing


class NoiseLeft(RuntimeError):  # noqa: N818  a name that says what happened
    """A model drew noise inside `disabled`, or in a part that is frozen.

    `place` is the name of the place as in `thinned.inspect`. `module`, `function`, `file`, `line` and `p` describe the
    call that drew.
    """

    def __init__(self, message: str, place: str, found: Drawing) -> None:
        super().__init__(message)
        self.place = place
        self.module, self.function, self.file, self.line = found.where
        self.p = found.p


def drew(found: Drawing) -> str:
    """A text that says what drew, and where: "dropout with p = 0.1 at net.py:12"."""
    with_p = "" if found.p is None else f" with p = {found.p:.6g}"
    where = f" at {found.where.file}:{found.where.line}" if found.where.file else ""
    return f"{found.where.function}{with_p}{where}"
