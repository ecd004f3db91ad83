"""The rows of a model's input: an array, or arrays in lists and dictionaries."""

from __future__ import annotations

from typing import Any

from .backend import keras


def count_rows(owner: str, x: Any) -> int:
    """How many rows x has.

    Raises:
        TypeError: there is something else than arrays in x.
        ValueError: two arrays differ in their rows.
    """
    counts = []
    for leaf in keras.tree.flatten(x) or [x]:
        shape: tuple[int, ...] = getattr(leaf, "shape", ())
        if len(shape) == 0:
            raise TypeError(
                f"`{owner}`: `x` must be an array with rows on axis 0, or a list or dictionary of such arrays. Got "
                f"{type(leaf).__name__}{'' if leaf is x else f' in a {type(x).__name__}'}. Convert it: np.asarray(x)."
            )
        counts.append(int(shape[0]))
    if len({*counts}) > 1:
        raise ValueError(
            f"`{owner}`: all arrays in `x` must have the same number of rows. Got {counts}. Repeat the rows of the "
            "shorter ones."
        )
    return counts[0]


def some_rows(x: Any, rows: slice) -> Any:
    """A part of x."""
    return keras.tree.map_structure(lambda leaf: leaf[rows], x)
