"""A backend of `torch.compile` that counts: calls that run uncompiled pass it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class CountedBackend:
    """Runs graphs as they are. `calls` is how often one ran."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, graph: Any, _: Any) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self.calls += 1
            return graph(*args)

        return run
