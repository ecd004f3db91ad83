"""Whether the arrays of `networks.safetensors` are those that `config.toml` speaks of, finite and in range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..answer.together import offsets
from ..data.words import FIRST
from ..error import UnreadableError
from ..networks.named import state_shapes
from ..networks.shape import InputShape
from .schema import ConfigFile, MemberFacts

PREPARED = ("fill", "mean", "scale", "gaps")
RESIDUALS = "residuals"


def numbers_of(columns: tuple[str, ...], member: MemberFacts) -> tuple[str, ...]:
    """The columns of a member that are neither text nor dates nor words."""
    others = {*(item.name for item in member.texts), *(item.name for item in member.dates)}
    others |= {member.words.column} if member.words is not None else set()
    return tuple(name for name in columns if name not in others)


def shape_of(said: ConfigFile, member: MemberFacts, plain: int) -> InputShape:
    """What a row is, of which so many inputs are no words."""
    words, pictures = member.words, said.inputs.pictures
    if said.network.kind == "cnn" and pictures is not None:
        return InputShape(image=(pictures.height, pictures.width, pictures.channels))
    if words is not None and words.length:
        return InputShape(plain, words=words.slots + FIRST, length=words.length, following=words.following)
    return InputShape(plain + (0 if words is None else words.slots))


def check_arrays(config: Path, stored: Path, said: ConfigFile, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises UnreadableError: an array is missing, too many, of another shape or kind, not finite or out of range.

    Shapes are compared by their numbers alone: no layer is made.
    """
    expected: dict[str, tuple[tuple[int, ...] | None, Any]] = {RESIDUALS: (None, np.float64)}
    for number, member in enumerate(said.members):
        count = len(numbers_of(tuple(said.inputs.columns), member)) + sum(len(item.parts) for item in member.dates)
        gaps = arrays.get(f"{number}.prepare.gaps", np.zeros(0, dtype=np.int64))
        expected |= {f"{number}.prepare.{name}": ((count,), np.float64) for name in PREPARED}
        expected[f"{number}.prepare.gaps"] = (None, np.int64)
        inputs = count + gaps.size + sum(len(item.levels) + item.rare for item in member.texts)
        shape = shape_of(said, member, inputs)
        shapes = state_shapes(said.network.kind, shape, said.network.hidden, len(said.target.classes or ()) or 1)
        expected |= {
            f"{number}.network.{name}": (size, np.float32 if kind == torch.float32 else np.int64)
            for name, (size, kind) in shapes.items()
        }
    for name in [*expected, *arrays]:
        _check_one(config, stored, name, expected.get(name), arrays.get(name))
    for number in range(len(said.members)):
        gaps, count = arrays[f"{number}.prepare.gaps"], len(arrays[f"{number}.prepare.mean"])
        if len(set(gaps.tolist())) < len(gaps) or not ((gaps >= 0) & (gaps < count)).all():
            raise _fault(stored, f"{number}.prepare.gaps must be different numbers below {count}")
    residuals, target = arrays[RESIDUALS], said.target
    if target.classes is None and (target.residual_low, target.residual_high) != offsets(residuals):
        raise _apart(config, stored, "target.residual_low and residual_high are not those of the residuals")


def _check_one(
    config: Path,
    stored: Path,
    name: str,
    expected: tuple[tuple[int, ...] | None, Any] | None,
    found: NDArray[Any] | None,
) -> None:
    if expected is None or found is None:
        raise _apart(config, stored, f"{name} is {'not there' if found is None else 'one too many'}")
    shape, kind = expected
    if found.dtype != kind:
        raise _fault(stored, f"{name} must be {np.dtype(kind)}. Got {found.dtype}")
    if found.shape != shape if shape is not None else found.ndim != 1:
        raise _apart(
            config, stored, f"{name} must have the shape {'(n,)' if shape is None else shape}. Got {found.shape}"
        )
    if name.endswith("prepare.scale"):  # infinite where a number did not vary in training
        if not (found > 0).all():
            raise _fault(stored, f"{name} must be above 0. Got {found[~(found > 0)][0]}")
    elif not np.isfinite(found).all():
        raise _fault(stored, f"{name} must be finite numbers. {int((~np.isfinite(found)).sum()):,} are not")


def _fault(stored: Path, what: str) -> UnreadableError:
    return UnreadableError(f"{stored} is damaged: {what}")


def _apart(config: Path, stored: Path, what: str) -> UnreadableError:
    return UnreadableError(f"{config} and {stored.name} do not belong together or are damaged: {what}")
