"""Which dropouts overwrite a tensor that the backward pass still needs: found by running forward and backward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...nn.names import named_modules
from ..known.functions import FUNCTIONS, canonical
from ..watch.callsite import caller, callsite, outermost, transparent
from ..watch.modes import set_mode
from ..watch.private_noise import private_noise
from ..watch.recorder import tensors_of
from ..watch.running import Running
from ..watch.untouched import untouched
from .place import Place

Module = torch.nn.Module

_TORCH = str(Path(torch.__file__).parent)
# Parts of torch's messages about a write in place: to a tensor that backward needs, to a leaf, to a protected view.
_SAYS = ("modified by an inplace operation", "in-place operation", "is being modified inplace", "in-place on")


def destructive(
    model: Module, args: Sequence[Any], kwargs: Mapping[str, Any], places: Iterable[Place]
) -> list[tuple[list[Place], str]]:
    """The places whose `inplace=True` breaks the backward pass, grouped by line, each group with torch's message.

    Each line that drops in place is run alone in place, while the other lines work on copies. The lines that still fail
    are to blame. If none fails alone, all are. The parameters' `grad` is left as it is.

    Cost: a forward and a backward pass; if they fail, once more for copies at all lines and once for each line.
    """
    with untouched("check", model), torch.enable_grad():
        set_mode(model, True)
        found = [place for place in places if _writes(model, place)]
        error = _error(model, args, kwargs, []) if found else None
        if error is None or _error(model, args, kwargs, found) is not None:
            return []
        lines: dict[object, list[Place]] = {}
        for place in found:
            by_torch = place.file.startswith(_TORCH)  # a Sequential calls all its modules from one line
            lines.setdefault(place.name if by_torch else (place.file, place.line), []).append(place)
        blamed = []
        for line in lines.values():
            said = _error(model, args, kwargs, [place for place in found if place not in line])
            if said is not None:
                blamed.append((line, said))
    return blamed or [(line, error) for line in lines.values()]


def breaks(model: Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether writing in place breaks the backward pass of the model as it is. Cost: a forward and a backward pass."""
    return _error(model, args, kwargs, []) is not None


def _writes(model: Module, place: Place) -> bool:
    module = _module(model, place)
    if place.name == place.module:
        return bool(getattr(module, "inplace", False))
    return place.kind in FUNCTIONS


def _module(model: Module, place: Place) -> Module:
    return dict(named_modules(model))[place.module]


@outermost
def _error(model: Module, args: Sequence[Any], kwargs: Mapping[str, Any], copying: Iterable[Place]) -> str | None:
    """torch's message about a write in place, from one forward and backward pass; None if there is none.

    The places in `copying` work on copies.
    """
    copies = _Copies(model, copying)
    changed = [
        module
        for place in copying
        if place.name == place.module and getattr(module := _module(model, place), "inplace", False)
    ]
    for module in changed:
        module.inplace = False  # type: ignore[assignment]
    try:
        with ExitStack() as stack:
            stack.enter_context(stack.enter_context(private_noise(model, own=False)).given())  # each time the same
            stack.enter_context(copies.running.followed())
            stack.enter_context(copies)
            result = model(*args, **kwargs)
        made = [tensor for tensor in tensors_of(result) if tensor.requires_grad]
        weights = [weight for weight in Module.parameters(model) if weight.requires_grad]
        if made and weights:
            total: Tensor = torch.stack([tensor.float().sum() for tensor in made]).sum()
            torch.autograd.grad(total, weights, allow_unused=True)
    except RuntimeError as error:
        said = str(error)
        if any(part in said for part in _SAYS):
            return said.splitlines()[0].partition(" Hint:")[0]
        raise
    finally:
        for module in changed:
            module.inplace = True  # type: ignore[assignment]
    return None


class _Copies(TorchFunctionMode):
    """A function mode in which the functional dropouts of some places work on a copy of their argument."""

    def __init__(self, model: Module, places: Iterable[Place]) -> None:
        super().__init__()
        self.running = Running(model)
        self._places = {(place.module, place.file, place.line) for place in places if place.name != place.module}

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        looked_at = self._places and canonical(func) in FUNCTIONS and args and isinstance(args[0], Tensor)
        if looked_at and (self.running.name, *callsite(caller(1))) in self._places:
            args = (args[0].clone(), *args[1:])
        return func(*args, **kwargs)
