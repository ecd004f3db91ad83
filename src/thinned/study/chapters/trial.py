"""A chapter's training: what decides it, and the figures that it leaves."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass

Figures = dict[str, list[float]]  # by name, a number for each of the trial's seeds


@dataclass(frozen=True, order=True)
class Trial:
    """Networks of one arm, a seed each, trained side by side. Its figures are a function of it, the folds and recipe.

    First weights, the order of the rows and masks depend on the seed alone, as in the main study: so arms are compared
    on paired noise, and with the main study's own runs.
    """

    chapter: str
    arm: str
    lr: float
    seeds: tuple[int, ...]
    settings: tuple[tuple[str, float], ...] = ()  # numbers of the arm, by name

    def setting(self, name: str) -> float:
        return dict(self.settings)[name]

    @property
    def name(self) -> str:
        """A name fit for files: for readers, with a digest of every bit.

        >>> Trial("where", "input", 0.001, (0, 1)).name
        'where-input-0e634ed5c7a5'
        """
        exact = hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:12]
        arm = "".join(sign if sign.isalnum() else "-" for sign in self.arm)
        return f"{self.chapter}-{arm}-{exact}"
