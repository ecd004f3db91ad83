"""Names as text: for a terminal, to which no sign of them is a command, and for records and pages in UTF-8."""

from __future__ import annotations

import re

# Control signs, signs that turn the direction of the text, and halves of signs, such as names that are no UTF-8 have.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_ENDS = re.compile("[\t\n]")


def plain_text(text: str) -> str:
    r"""The text with its commands written out, as Python writes them. Tabs and line ends stay.

    >>> print(plain_text("a\x1b[31mb\n[/b]"))
    a\x1b[31mb
    [/b]
    """
    return _COMMANDS.sub(_written, text)


def plain_line(text: str) -> str:
    r"""The same in one line: tabs and line ends are written out too.

    >>> print(plain_line("net\n.py"))
    net\n.py
    """
    return _LINE_ENDS.sub(_written, plain_text(text))


def in_utf8(text: object) -> str:
    r"""The text as UTF-8 can hold it: halves of signs, such as names that are no UTF-8 have, are written out.

    >>> in_utf8("caf\xe9") == "caf\xe9"
    True
    >>> print(in_utf8("caf\udce9"))
    caf\udce9
    """
    return str(text).encode(errors="backslashreplace").decode()


def _written(found: re.Match[str]) -> str:
    sign = found[0]
    if "\udc80" <= sign <= "\udcff":  # a byte of a name that is no UTF-8
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode()
