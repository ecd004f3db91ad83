"""Masks made by hand: random numbers followed from where they are drawn to the tensor that they thin.

For torch, `torch.rand(...) > p` and `x.new_empty(...).bernoulli_(q)` are no dropout. Their results are followed through
comparisons, casts, views and scaling, until a call applies them to a tensor that is not random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from ..known.functions import MASKS, OTHER, UNIFORM
from ..known.operations import COMPARISONS, LIKE_ANOTHER, MASKS_A_TENSOR, REPEATS, ROUNDINGS
from .shape import shape_of, stored


@dataclass(slots=True)
class Tag:
    """Says of a tensor that its numbers come from a draw.

    After `u = torch.rand(8, 1, 4)`, which is call 5 of the pass, and `m = (u > 0.1).expand(8, 3, 4)`, the tag of `u` is
    `Tag(5, "noise", (8, 1, 4))` and the tag of `m` is `Tag(5, "mask", (8, 1, 4))`.
    """

    source: int  # the call that drew
    stage: str  # "noise" for the random numbers themselves, "mask" for two values made from them
    sizes: tuple[int, ...]  # the tensor's shape, with 1 for axes along which one draw was repeated


@dataclass(slots=True)
class MaskApplied:
    """What a call did that applied a mask to a tensor."""

    source: int  # the call that drew the mask's numbers
    dropped: float | None  # the share of the tensor's non-zero units that became 0
    mask_shape: tuple[int, ...]  # the mask's shape, with 1 for axes along which one draw was repeated


class Masks:
    """The tags of the random tensors of one forward pass."""

    def __init__(self) -> None:
        self._tags: Any = WeakIdKeyDictionary()
        self.thresholds: dict[int, float] = {}  # by the call that drew: the number that its result was compared with

    def before(self, name: str, tensors: Sequence[Tensor]) -> Tensor | None:
        """Before a call that will apply a mask: which units of the tensor are not 0. None before any other call."""
        tags = [self._tags.get(tensor) for tensor in tensors]
        if name not in MASKS_A_TENSOR or not any(tag is not None and tag.stage == "mask" for tag in tags):
            return None
        base = self._base(tensors)
        return None if base is None else base != 0

    def after(
        self,
        name: str,
        index: int,
        arguments: Sequence[Any],
        tensors: Sequence[Tensor],
        alive: Tensor | None,
        result: Any,
    ) -> MaskApplied | None:
        """Tag the result of a call. Returns: what the call did if it applied a mask, else None."""
        if name == "setitem":
            result = tensors[0] if tensors else None
        if not isinstance(result, Tensor):
            return None
        if name in MASKS or name in UNIFORM or name in OTHER:
            self._tags[result] = Tag(index, "mask" if name in MASKS else "noise", shape_of(result))
            return None
        if name in LIKE_ANOTHER:
            tensors = tensors[:1]
        tagged = [(tensor, tag) for tensor in tensors if (tag := self._tags.get(tensor)) is not None]
        if not tagged or name.startswith("new_") or name.endswith("_like"):
            return None
        tensor, tag = tagged[0]
        plain = [other for other in tensors if self._tags.get(other) is None and other.ndim]
        sizes = shape_of(result)
        if all(other.sizes == tag.sizes for _, other in tagged):
            sizes = _sizes(name, tag.sizes, shape_of(tensor), sizes)
        if tag.stage == "noise":
            self._follow_noise(name, arguments, Tag(tag.source, tag.stage, sizes), result, plain)
        elif alive is not None and plain:
            dropped = None
            if shape_of(result) == shape_of(alive) and result.is_floating_point():
                living = stored(alive)
                units = int(living.sum())
                dropped = int(((stored(result) == 0) & living).sum()) / units if units else None
            return MaskApplied(tag.source, dropped, tag.sizes)
        elif not plain and (result.numel() > 1 or tensor.numel() == 1):
            self._tags[result] = Tag(tag.source, tag.stage, sizes)
        return None

    def _follow_noise(
        self, name: str, arguments: Sequence[Any], tag: Tag, result: Tensor, plain: Sequence[Tensor]
    ) -> None:
        numbers = [value for value in arguments if isinstance(value, (int, float)) and not isinstance(value, bool)]
        if name in COMPARISONS:
            if numbers:
                self.thresholds[tag.source] = float(numbers[0])
            self._tags[result] = Tag(tag.source, "mask", tag.sizes)
        elif name in ROUNDINGS:
            self._tags[result] = Tag(tag.source, "mask", tag.sizes)
        elif not plain and (result.numel() > 1 or result.ndim == 0):
            if name == "add" and numbers:
                self.thresholds.setdefault(tag.source, 1.0 - float(numbers[0]))  # floor(rand + q)
            self._tags[result] = tag

    def _base(self, tensors: Sequence[Tensor]) -> Tensor | None:
        plain = [tensor for tensor in tensors if self._tags.get(tensor) is None and tensor.ndim]
        floating = [tensor for tensor in plain if tensor.is_floating_point()]
        return max(floating, key=torch.Tensor.numel) if floating else None


def _sizes(name: str, sizes: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    """`Tag.sizes` of a call's result, of shape `after`, from the `sizes` of its argument, of shape `before`.

    A view may add or remove axes of size 1. So the axes longer than 1 are matched in their order.

    >>> _sizes("expand", (8, 1, 4), (8, 1, 4), (8, 3, 4)), _sizes("squeeze", (8, 1, 4), (8, 3, 4), (8, 3, 4))
    ((8, 1, 4), (8, 1, 4))
    """
    if name in REPEATS and len(after) >= len(sizes):
        own = (1,) * (len(after) - len(sizes)) + sizes
        return tuple(1 if one == 1 else size for one, size in zip(own, after, strict=True))
    long = [(size, one) for size, one in zip(before, sizes, strict=True) if size > 1]
    if [size for size, _ in long] != [size for size in after if size > 1]:
        return after
    ones = iter(one for _, one in long)
    return tuple(next(ones) if size > 1 else size for size in after)
