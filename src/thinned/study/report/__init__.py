"""Records as pages: one self-contained `report.html` each, and a study's every figure as a PNG."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write"]


def write(folder: Path) -> Path:
    """See `folder.write`, which is loaded by the first call: a tuning's page needs no pandas."""
    from thinned.study.report.folder import write as write_study

    return write_study(folder)
