"""`thinned.freeze`: no gradients and no noise in a part of a model, also while the rest of the model trains."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from typing import Any

import torch

from ...frameworks import refuse_other_frameworks
from ...nn.names import named_modules
from ..known.modules import rate_attributes
from ..watch.interrupted import Handle
from ..watch.unregistered import unregistered
from .frozen_watch import ROOT, watch_frozen
from .watch_hooks import check_call

Module = torch.nn.Module

_MARK = "_frozen_by_thinned"  # the attribute of a frozen module that holds its `_FrozenTrain`


class _FrozenTrain:
    """Replaces the method `train` of one frozen module.

    It lies in the module's own `__dict__`, where Python finds it before the method of the class. It remembers how the
    module was before (`training`, `trained`) and which freezes apply to the module (`holders`). It is an object and no
    closure, because deepcopy and pickle must copy it together with the module.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self.own = module.__dict__.get("train")  # set by another library, which may freeze modules in the same way
        self.training = module.training
        self.trained: list[str] = []
        self.holders: list[str] = []
        self.watches: list[Handle] = []  # of the hooks that look for noise; pickled with the module

    def __call__(self, mode: bool = True) -> Module:
        """Do nothing when `module.train(mode)` is called. The submodules are frozen themselves."""
        return self.module

    def hold(self, holder: str, root: Module) -> None:
        """Freeze the module, and note that the freeze with the id `holder` of `root` applies to it."""
        self.holders.append(holder)
        if not self.watches:
            self.watches = watch_frozen(self.module, root)
        for name, parameter in self.module._parameters.items():
            if parameter is not None and parameter.requires_grad:
                self.trained.append(name)
                parameter.requires_grad_(False)
            if parameter is not None:
                parameter.grad = None
        self.module.__dict__[_MARK] = self
        if self.own is None or callable(self.own):  # else an attribute of the user's own, such as train = True
            self.module.__dict__["train"] = self
        self.module.training = False

    def release(self, holder: str | None) -> None:
        """End one freeze of the module, or all of them (None). After the last one, the module is as it was before."""
        self.holders = [other for other in self.holders if holder not in (other, None)]
        if self.holders:
            return
        for name in self.trained:
            parameter = self.module._parameters.get(name)
            if parameter is not None:
                parameter.requires_grad_(True)
        for handle in self.watches:
            handle.remove()
        self.module.__dict__.pop(ROOT, None)
        del self.module.__dict__[_MARK]
        if self.module.__dict__.get("train") is self:
            del self.module.__dict__["train"]
        if self.own is not None:
            self.module.__dict__["train"] = self.own
        self.module.training = self.training


class Frozen:
    """The handle of one call of `freeze`; `thaw()` ends this freeze."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self._holder = secrets.token_hex(8)  # an id of this freeze; copies of the module have it too
        for part in _parts(module):
            (_frozen_train(part) or _FrozenTrain(part)).hold(self._holder, module)

    def thaw(self) -> Module:
        """Undo this freeze: modes and `requires_grad` are again as they were before it.

        A part to which another freeze still applies stays frozen until the other freeze ends.

        Returns:
            The module.
        """
        _release(self.module, self._holder)
        return self.module

    def __repr__(self) -> str:
        held = any(self._holder in kept.holders for part in _parts(self.module) if (kept := _frozen_train(part)))
        return f"Frozen({type(self.module).__name__}{'' if held else ', thawed'})"


def freeze(module: Module) -> Frozen:
    """Switch off a module's gradients and noise. They stay off when its parent is put into training mode.

    Every parameter has `requires_grad=False` and `grad=None`, so an optimiser skips it. The module and all its
    submodules are in eval mode; `train()` on the parent, the module or a submodule does not change their mode.
    So dropout is off, and also functional dropout with `training=self.training`. Batch normalisation uses its running
    statistics and does not update them. The same input gives the same output. Gradients still flow through the module
    to the layers before it.

    Dropout modules in plain lists, dictionaries and other objects of the module are frozen, too. Noise that is drawn
    all the same, because the code does not ask self.training, is an error when the module runs. The first pass is
    watched operator by operator; after each later one, the generators of the process are compared, and those that the
    module leads to: in its attributes, and in the closures and global names of its functions. So a branch that the
    first pass did not take may draw unseen in one case: from a generator that it makes itself, or gets as an argument.
    A graph of torch.compile is not watched: run the module once before it is compiled.

    `state_dict` is unchanged. Copies and pickles of the module are frozen as well; the function `thaw` thaws them. A
    parameter that another part of the model shares is frozen for that part too.

    Returns:
        A handle; its `thaw()` restores modes and `requires_grad` as they were. Freezes may overlap, and may end in any
        order.

    Raises:
        TypeError: `module` is no module.
        ValueError: its own `__call__` can drop, outside of the forward.
        NoiseLeft: a RuntimeError, when the module runs and draws noise. It names the place, its file and its line.

    Cost: nothing for the layers of torch and thinned; about 0.1 ms for each pass through a module of another class.

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(), torch.nn.Linear(4, 2))
    >>> frozen = freeze(model[:2])
    >>> [part.training for part in model.train()]
    [False, False, True]
    >>> [parameter.requires_grad for parameter in model.parameters()]
    [False, False, True, True]
    >>> frozen.thaw().training, model[1].training
    (True, True)
    """
    if "keras" in sys.modules or not isinstance(module, Module):
        refuse_other_frameworks("freeze", module, "module")
    if not isinstance(module, Module):
        raise TypeError(
            f"`freeze`: `module` must be a torch.nn.Module. Got {type(module).__name__}. For one parameter, "
            "requires_grad_(False) does it."
        )
    check_call("freeze", module)
    return Frozen(module)


def thaw(module: Module) -> Module:
    """End every freeze of a module and of its submodules. For copies and loaded models, which have no handle.

    Returns:
        The module.

    Raises:
        ValueError: neither the module nor a submodule is frozen.

    >>> import copy
    >>> layer = torch.nn.Linear(2, 2)
    >>> frozen = freeze(layer)
    >>> twin = copy.deepcopy(layer).train()
    >>> twin.training, thaw(twin).training
    (False, True)
    """
    if "keras" in sys.modules or not isinstance(module, Module):
        refuse_other_frameworks("thaw", module, "module")
    if not any(_frozen_train(part) for part in _parts(module)):
        raise ValueError(
            f"`thaw`: `module` must be frozen, or have a frozen part. Got {type(module).__name__}, which is not. "
            "Pass what was given to `freeze`, or a copy of it."
        )
    _release(module, None)
    return module


def is_frozen(module: Module) -> bool:
    """Whether this module is frozen by `freeze`."""
    return _frozen_train(module) is not None


def _frozen_train(module: Module) -> _FrozenTrain | None:
    found: Any = module.__dict__.get(_MARK)
    return found if isinstance(found, _FrozenTrain) else None


def _parts(module: Module) -> Iterator[Module]:
    """A module and all inside it, and the dropouts that it holds in lists, dictionaries and other objects."""
    yield from (part for _, part in named_modules(module))
    for part in unregistered(module).values():
        if rate_attributes(part) and not part._parameters:
            yield part


def _release(module: Module, holder: str | None) -> None:
    for part in _parts(module):
        kept = _frozen_train(part)
        if kept is not None and (holder is None or holder in kept.holders):
            kept.release(holder)
