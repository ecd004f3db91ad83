"""Packages that an option needs, asked for before anything is read or trained."""

from __future__ import annotations

from importlib.util import find_spec

from .error import StudyError


def require_extra(option: str, module: str, title: str, extra: str) -> None:
    """Raises StudyError: a package is not installed. It is looked for, not imported."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:  # or a mere folder of that name
        raise StudyError(f"`{option}` needs {title}, which is not installed. Run pip install 'thinned[{extra}]'.")
