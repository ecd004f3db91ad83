"""Where a call is made: the one type for it."""

from __future__ import annotations

from typing import NamedTuple


class Where(NamedTuple):
    """Who makes a call, of what, and at which line.

    >>> Where("encoder.0", "dropout", "net.py", 12)
    Where(module='encoder.0', function='dropout', file='net.py', line=12)
    """

    module: str  # the qualified name of the innermost module that runs; "" is the model itself
    function: str  # the canonical name of the function
    file: str  # of the user's code; "" where none is known
    line: int
