"""Hooks that stay with the model on which they were registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class UncopiedHook:
    """A hook of a model that does nothing in the model's copies and pickles.

    >>> import copy
    >>> hook = UncopiedHook(print)
    >>> hook("called")
    called
    >>> copy.deepcopy(hook)("called")
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> None:
        self.function(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return UncopiedHook, (_do_nothing,)


def _do_nothing(*_: Any) -> None:
    pass
