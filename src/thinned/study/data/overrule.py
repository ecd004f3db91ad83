"""What a caller says of a table: how its text is written, what a column is, and which columns cut it.

Checked before pandas is imported.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal, cast, get_args

from ..error import StudyError

Wanted = Literal["number", "level", "date", "text", "ignore"]
SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


@dataclass(frozen=True)
class TextForm:
    """How a text file is written. None: sniffed.

    Arguments:
        sep: the sign between fields, or its name: tab, comma, semicolon, pipe, space.
        encoding: a codec of Python: utf-8, cp1252, utf-16, cp949, shift_jis, ...
        decimal: the decimal sign, "." or ",".

    Raises StudyError for anything else.
    """

    sep: str | None = None
    encoding: str | None = None
    decimal: str | None = None

    def __post_init__(self) -> None:
        if self.sep is not None:
            sign = SEPARATORS.get(self.sep.lower(), self.sep)
            if len(sign) != 1 or sign in '"\r\n' or sign.isalnum():
                names = ", ".join(name for name in SEPARATORS if name.isalpha())
                raise StudyError(f"`--sep` must be one sign, or one of {names}. Got {self.sep!r}.")
            object.__setattr__(self, "sep", sign)
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
                "".encode(self.encoding)
            except (LookupError, ValueError, TypeError):
                raise StudyError(
                    f"`--encoding` must be an encoding that Python knows, as utf-8, cp1252, utf-16, cp949 or "
                    f"shift_jis. Got {self.encoding!r}."
                ) from None
        if self.decimal is not None and self.decimal not in (".", ","):
            raise StudyError(f"`--decimal` must be . or ,. Got {self.decimal!r}.")


@dataclass(frozen=True)
class WantedColumn:
    """What a caller says that a column is; for a date perhaps its format, as `strptime` has it."""

    name: str
    kind: Wanted
    format: str | None = None

    @classmethod
    def of(cls, text: str) -> WantedColumn:
        """Read `NAME=KIND`.

        >>> WantedColumn.of("zip=level")
        WantedColumn(name='zip', kind='level', format=None)
        >>> WantedColumn.of("seen=date:%d/%m/%Y").format
        '%d/%m/%Y'

        Raises StudyError: no `=`, an empty name, another kind.
        """
        name, equals, said = text.rpartition("=")
        kind, colon, form = said.partition(":")
        kinds = get_args(Wanted)
        if not equals or not name.strip() or kind not in kinds or (colon and (kind != "date" or "%" not in form)):
            raise StudyError(
                f"`--column` must be NAME=KIND, where KIND is {', '.join(kinds[:-1])} or {kinds[-1]}, or a date with "
                f"its format, as seen=date:%d/%m/%Y. Got {text!r}."
            )
        return cls(name.strip(), cast(Wanted, kind), form or None)

    def __str__(self) -> str:
        return f"{self.name}={self.kind}{f':{self.format}' if self.format else ''}"


def check_time_alone(groups: object, time: object, test: object) -> None:
    """Refuse two ways to choose the rows that are tested on: each is a column's name or a path, or None.

    Raises StudyError: `time` is given, and another beside it.
    """
    beside = [option for option, given in (("--groups", groups), ("--test", test)) if given is not None]
    if time is not None and beside:
        raise StudyError(
            "`--time` must be given alone: it decides which rows are tested on. "
            f"Got --time with {' and '.join(beside)}. Leave one out."
        )
