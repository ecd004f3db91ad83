"""Places that an object holds for long, as a `Schedule` does: found again after `convert`, `revert` and `remove()`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from ...nn.names import named_modules
from ..edit.call_hook import CallEdit, Forward
from .rate_places import RatePlace, RatePlaces

Module = torch.nn.Module


class HeldPlaces:
    """The places of a model by name, whatever modules stand there now."""

    def __init__(self, owner: str, model: Module, example: Any = None) -> None:
        self._owner, self._model, self._example = owner, model, example
        self.places = RatePlaces(owner, model, example)

    def now(self, names: Collection[str]) -> tuple[RatePlaces, bool]:
        """The places as they are in the model now, and whether others stand there since the last call.

        Raises:
            RuntimeError: the model has no place of one of these names any more.
        """
        modules = {id(module) for _, module in named_modules(self._model)}
        if all(self._is_there(self.places.by_name[name], modules) for name in names):
            return self.places, False
        fresh = RatePlaces(self._owner, self._model, self._example)
        missing = [name for name in names if name not in fresh.by_name]
        if missing:
            raise RuntimeError(
                f"`{self._owner}`: its places must be in the model. Got {', '.join(map(repr, missing[:5]))}, which "
                f"{'are' if len(missing) > 1 else 'is'} in it no more: a plan was removed, or the module replaced. "
                f"Make a new {self._owner}."
            )
        fresh.inspection = None  # so that later steps don't run the example
        self.places = fresh
        return fresh, True

    def _is_there(self, place: RatePlace, modules: Collection[int]) -> bool:
        """Whether a place's module and what holds its p are in the model, as when they were found."""
        owner = place.attribute.owner if place.attribute is not None else None
        if isinstance(owner, CallEdit):
            forward = vars(place.module).get("forward")
            return isinstance(forward, Forward) and any(edit is owner for edit in forward.rates())
        loose = {id(module) for module in self.places.loose.values()}
        holders = [place.module, *([owner] if isinstance(owner, Module) else [])]
        return all(id(holder) in modules or id(holder) in loose for holder in holders)
