"""Which strength an arm has: the one that validation chooses, by one rule for all arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .interval import Values
from .scene import Results


@dataclass(frozen=True)
class Chosen:
    """An arm at the strength that validation chose, with its test errors, one a seed."""

    strength: float
    arm: str
    error: Values


def losses(results: Results, arms: Mapping[float, str], seeds: Sequence[int]) -> dict[float, Values]:
    """The validation losses of each strength that is finished, one a seed."""
    found = {strength: results.of(arm, "val_loss", seeds) for strength, arm in arms.items()}
    return {strength: values for strength, values in found.items() if values is not None}


def chosen(results: Results, arms: Mapping[float, str], seeds: Sequence[int]) -> Chosen | None:
    """The strength with the least mean validation loss over seeds, of equals the first; None before all are finished.

    Test rows have no part in the choice.
    """
    found = losses(results, arms, seeds)
    if len(found) < len(arms):
        return None
    best = min(found, key=lambda strength: found[strength].mean())
    error = results.of(arms[best], "error", seeds)
    return None if error is None else Chosen(best, arms[best], error)
