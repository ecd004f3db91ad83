"""Check dropout by rules with codes: in live models and in source code."""

from __future__ import annotations
