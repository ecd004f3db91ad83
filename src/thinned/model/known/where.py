"""`Where`: the one type that says where a call is made."""

from __future__ import annotations

from typing import NamedTuple


class Where(NamedTuple):
    """Where a call is made: the module that makes it, the function called, and the file and line of the call.

    >>> Where("encoder.0", "dropout", "net.py", 12)
    Where(module='encoder.0', function='dropout', file='net.py', line=12)
    """

    module: str  # the qualified name of the innermost module that runs; "" is the model itself
    function: str  # the canonical name of the function
    file: str  # of the user's code; "" where it is not known
    line: int  # 0 where it is not known
