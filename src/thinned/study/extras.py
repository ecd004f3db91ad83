"""Packages that an option needs, asked for before anything is read or trained."""

from __future__ import annotations

from importlib.util import find_spec

from .error import StudyError


def require_extra(option: str, module: str, title: str, extra: str) -> None:
    """Raises StudyError: a package is not installed. It is looked for, not imported."""
    if find_spec(module) is None:
        raise StudyError(f"`{option}` needs {title}, which is not installed. Run pip install 'thinned[{extra}]'.")
