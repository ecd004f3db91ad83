"""Freeze a part of a model: its parameters and its noise are off, and stay off when the rest goes on training."""

from __future__ import annotations

import secrets
from typing import Any

import torch

Module = torch.nn.Module


class _FrozenTrain:
    """A frozen module's `train`, in the module's own dictionary, where it is found before the class's.

    It holds what the module was, and by which freezes it is held; an object and not a closure, so that deepcopy and
    pickle take it along with the module.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self.own = module.__dict__.get("train")  # somebody else's, such as another library's way of freezing
        self.training = module.training
        self.trained: list[str] = []
        self.holders: list[str] = []

    def __call__(self, mode: bool = True) -> Module:
        """What `module.train(mode)` does now: all below is frozen as well, so nothing."""
        return self.module

    def hold(self, holder: str) -> None:
        self.holders.append(holder)
        for name, parameter in self.module._parameters.items():
            if parameter is not None and parameter.requires_grad:
                self.trained.append(name)
                parameter.requires_grad_(False)
            if parameter is not None:
                parameter.grad = None
        self.module.__dict__["train"] = self
        self.module.training = False

    def release(self, holder: str | None) -> None:
        self.holders = [other for other in self.holders if holder not in (other, None)]
        if self.holders:
            return
        for name in self.trained:
            parameter = self.module._parameters.get(name)
            if parameter is not None:
                parameter.requires_grad_(True)
        del self.module.__dict__["train"]
        if self.own is not None:
            self.module.__dict__["train"] = self.own
        self.module.training = self.training


class Frozen:
    """What `freeze` gives back. See there."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self._holder = secrets.token_hex(8)  # also names this freeze in copies of the module
        for part in module.modules():
            (_frozen_train(part) or _FrozenTrain(part)).hold(self._holder)

    def thaw(self) -> Module:
        """Undo this freeze: modes and `requires_grad` are what they were before. Parts that another freeze holds wait.

        Returns:
            The module.
        """
        _release(self.module, self._holder)
        return self.module

    def __repr__(self) -> str:
        held = any(self._holder in kept.holders for part in self.module.modules() if (kept := _frozen_train(part)))
        return f"Frozen({type(self.module).__name__}{'' if held else ', thawed'})"


def freeze(module: Module) -> Frozen:
    """Switch a module's parameters and noise off, so that they stay off when its parent is put into training.

    No parameter asks for a gradient, and gradients that are left from before are dropped: an optimiser that has the
    parameters passes them over. The module and all in it are in eval mode, and `train()`, of the parent or of any part,
    does not change that. So dropout is off, functional dropout with `training=self.training` too, and batch
    normalisation uses its running statistics and leaves them alone: for the same input the output is the same.
    Gradients go through to what is in front.

    `state_dict` is unchanged. Copies and pickles of the module are frozen as well; `thaw` is for them. A parameter that
    is shared with the rest of the model is frozen there too.

    Returns:
        A handle; its `thaw()` restores modes and `requires_grad` as they were. Freezes may overlap, and end in any
        order.

    Raises:
        TypeError: `module` is no module.

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(), torch.nn.Linear(4, 2))
    >>> frozen = freeze(model[:2])
    >>> [part.training for part in model.train()]
    [False, False, True]
    >>> [parameter.requires_grad for parameter in model.parameters()]
    [False, False, True, True]
    >>> frozen.thaw().training, model[1].training
    (True, True)
    """
    if not isinstance(module, Module):
        raise TypeError(
            f"`freeze`: `module` must be a torch.nn.Module. Got {type(module).__name__}. For one parameter, "
            "requires_grad_(False) does it."
        )
    return Frozen(module)


def thaw(module: Module) -> Module:
    """End every freeze of the module and of all in it: for copies and loaded models, whose handles are elsewhere.

    Raises:
        ValueError: nothing in it is frozen.

    >>> import copy
    >>> layer = torch.nn.Linear(2, 2)
    >>> frozen = freeze(layer)
    >>> twin = copy.deepcopy(layer).train()
    >>> twin.training, thaw(twin).training
    (False, True)
    """
    if not any(_frozen_train(part) for part in module.modules()):
        raise ValueError(
            f"`thaw`: `module` must be frozen, or have a frozen part. Got {type(module).__name__}, which is not. "
            "Pass what was given to `freeze`, or a copy of it."
        )
    _release(module, None)
    return module


def is_frozen(module: Module) -> bool:
    """Whether `freeze` holds this module."""
    return _frozen_train(module) is not None


def _frozen_train(module: Module) -> _FrozenTrain | None:
    found: Any = module.__dict__.get("train")
    return found if isinstance(found, _FrozenTrain) else None


def _release(module: Module, holder: str | None) -> None:
    for part in module.modules():
        kept = _frozen_train(part)
        if kept is not None and (holder is None or holder in kept.holders):
            kept.release(holder)
