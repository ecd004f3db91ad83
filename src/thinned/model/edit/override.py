"""Another p for one call of a function: for a dropout whose p is a number in the code of a forward.

The module's forward runs inside a function mode. A forward pre-hook enters the mode, and a forward hook leaves it, even
when the forward raises. The mode finds the line that a call of a dropout comes from, and replaces the call's p if that
line has an override. The model's code, its parameters and its `state_dict` stay as they are.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ...ops.rate import packed
from ..known.functions import canonical, noisy
from ..known.where import Where
from ..watch.callsite import callsite, transparent
from ..watch.interrupted import Handle, OnInterrupt
from ..watch.torch_modes import leave_function_mode
from ..watch.uncompiled import uncompiled
from ..watch.underway import callers, left_over, running

Module = torch.nn.Module

_DROP, _GAUSSIAN = torch.ops.thinned.drop, torch.ops.thinned.gaussian
_NAMES = {"alpha": "alpha_dropout", "deviation": "gaussian_dropout"}  # by law: the function that calls our operator
_active = threading.local()  # the modes that are entered, in each thread


def override(module: Module, where: Where, p: float) -> None:
    """Give the calls from one line in the module's forward another p, whenever they drop.

    `where.module` is "": it stands for the module itself.

    A call with a training flag gets p if the flag is true. A call of a function without one, such as attention, gets p
    if its own p is above 0 or the module is in training mode. Copies and pickles of the module have the override too.

    Raises:
        RuntimeError: in a later forward, if torch.compile or torch.export traces it.

    Cost: about 1 microsecond for each torch function in the module's forward.
    """
    hook = _hook(module)
    if hook is not None:
        hook.rates[where] = p
        return
    hook = _Enter()
    hook.rates[where] = p
    try:
        # What enters the mode is put on last and taken off first: what leaves it is there for every call that entered.
        hook.handles.append(module.register_forward_hook(_Leave(hook), always_call=True))
        hook.handles.append(OnInterrupt(module, _interrupted))
        hook.handles.append(module.register_forward_pre_hook(hook))
    except BaseException:
        hook.take_off()
        raise


def overridden(module: Module, where: Where) -> float | None:
    """The p that `override` gave a line, or None."""
    hook = _hook(module)
    return None if hook is None else hook.rates.get(where)


def restore(module: Module, where: Where) -> None:
    """Remove the override of a line, and with the last override the hooks."""
    hook = _hook(module)
    if hook is None:
        return
    hook.rates.pop(where, None)
    if not hook.rates:
        hook.take_off()


def _hook(module: Module) -> _Enter | None:
    return next((hook for hook in [*module._forward_pre_hooks.values()] if isinstance(hook, _Enter)), None)


class _Enter:
    """The forward pre-hook. It holds no reference to the module, so that a copy of it acts on the copied module."""

    def __init__(self) -> None:
        self.rates: dict[Where, float] = {}
        self.handles: list[Handle] = []  # pickled too, so that torch gives later hooks other numbers

    def __call__(self, module: Module, inputs: Any) -> None:
        if torch.compiler.is_compiling():
            raise RuntimeError(
                f"`set_rates`: a p in the code of {type(module).__name__} must not be overridden in a compiled or "
                f"exported graph. Got {self.lines()}. Set it back, or have the code read an attribute."
            )
        mode, stack = _Override(module, self.rates), _stack()
        while stack and left_over([other.module for other in stack], sys._getframe(1)):
            stack.pop().leave()
        stack.append(mode)
        mode.__enter__()  # type: ignore[no-untyped-call]

    def take_off(self) -> None:
        for handle in reversed(self.handles):
            handle.remove()

    def lines(self) -> str:
        return ", ".join(f"{where.file}:{where.line} {where.function}" for where in self.rates)


class _Leave:
    """The forward hook."""

    def __init__(self, enter: _Enter) -> None:
        self.enter = enter

    def __call__(self, module: Module, inputs: Any, output: Any) -> None:
        stack = _stack()
        if stack and stack[-1].module is module:
            stack[-1].leave()
            stack.pop()


def _interrupted(module: Module) -> None:
    """Leave the modes of a call that an interrupt has ended, and of the calls inside it."""
    stack = _stack()
    if any(mode.module is module for mode in stack):
        ended = False
        while not ended:
            ended = stack[-1].module is module
            stack[-1].leave()
            stack.pop()


def _stack() -> list[_Override]:
    if not hasattr(_active, "modes"):
        _active.modes = []
    modes: list[_Override] = _active.modes
    return modes


class _Override(TorchFunctionMode):
    """The function mode of one forward: replaces the p of calls from lines that have an override."""

    def __init__(self, module: Module, rates: dict[Where, float]) -> None:
        super().__init__()
        self.module = module
        self.rates = rates
        self.functions = {where.function for where in rates}

    def leave(self) -> None:
        self.functions = set()
        leave_function_mode(self)

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if canonical(func) in self.functions or ((func is _DROP or func is _GAUSSIAN) and self.functions):
            args, kwargs = self._given(func, args, kwargs)
        return func(*args, **kwargs)

    @uncompiled
    def _given(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The call's arguments, with another p if the call comes from a line with an override, and drops."""
        law = _law(args[2]) if func is _DROP else "deviation" if func is _GAUSSIAN else ""
        name = _NAMES.get(law, "dropout") if law else canonical(func)
        frame = sys._getframe(1)
        where = Where("", name, *callsite(frame))
        p = self.rates.get(where)
        if p is None or _owner(frame, where) is not self.module:
            return args, kwargs
        if law:  # our own operator: it is called only to drop, and takes p inside a tensor
            return (*args[:2], packed(law, p, "set_rates"), *args[3:]), kwargs
        entry = noisy(name, args)
        if entry is None:
            return args, kwargs
        own, training = entry.rate(args, kwargs)
        if entry.training is None:
            training = own > 0 or self.module.training
        return entry.p.write(args, kwargs, p) if training else (args, kwargs)


def _law(numbers: torch.Tensor) -> str:
    """The law that the numbers given to `thinned::drop` describe."""
    _, gain, shift, fill = numbers.tolist()
    return "alpha" if shift or fill else "classic" if gain == 1.0 else "inverted"


def _owner(frame: FrameType | None, where: Where) -> Module | None:
    """The module whose forward contains the line, and not a module that the line itself builds and calls."""
    for inner in callers(frame):
        if inner.f_code.co_filename == where.file and inner.f_lineno == where.line:
            return next(running(inner), None)
    return None
