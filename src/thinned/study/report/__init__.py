"""A study's records as pages: one self-contained `report.html`, and every figure as a PNG."""

from thinned.study.report.folder import write as write

__all__ = ["write"]
