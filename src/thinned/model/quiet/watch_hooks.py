"""The hooks by which a watch follows the forward passes of a model: which modules have them, and in which order."""

from __future__ import annotations

from typing import Any

import torch

from ...forked import PROCESS
from ...nn.names import named_modules
from ...nn.uncopied_hook import UncopiedHook
from ..known.modules import rate_attributes
from ..rates.blind import outside_forward
from ..watch.interrupted import Handle, OnInterrupt

Module = torch.nn.Module

# This layer runs its fused kernel only if neither it nor a submodule has a hook. A hook on its parent does no harm.
_FUSED = torch.nn.TransformerEncoderLayer


def check_call(owner: str, module: Module) -> None:
    """Raise ValueError for a module whose class has a `__call__` that can drop.

    Modules inside of it need no such look: their calls are inside of its forward.
    """
    called = None if type(module).__call__ is Module.__call__ else outside_forward(module)
    if called is not None:
        raise ValueError(
            f"`{owner}`: {type(module).__name__} must drop in its forward. Got dropout in its __call__, at "
            f"{called.__code__.co_filename}:{called.__code__.co_firstlineno}, which nothing can see or stop. Move it "
            "into the forward."
        )


def add_hooks(handles: list[Handle], model: Module, watch: Any) -> None:
    """Register the hooks of a watch on every module of a model that may draw. Copies of the model have none.

    The handles are there one by one, so that whoever is interrupted can take off what is there, and a forked child too.
    """
    enter, leave = UncopiedHook(watch.enter), UncopiedHook(watch.leave)
    modules = [*dict(named_modules(model)).values()]
    fused = {
        inner for module in modules if isinstance(module, _FUSED) and module is not model for inner in module.modules()
    }
    for module in modules:
        if module is model or not (_is_silent(module) or module in fused):
            with PROCESS:
                hook(handles, module, enter, leave, watch.interrupted)


def hook(
    handles: list[Handle], module: Module, enter: Any, leave: Any, interrupted: Any, *, with_kwargs: bool = False
) -> None:
    """Register the two hooks of a watch, also on a module of TorchScript, whose own methods refuse it.

    What opens comes last, and goes first: a call of another thread that has opened something finds what closes it, on
    the module or among what was taken off while it ran.
    """
    handles.append(Module.register_forward_hook(module, leave, always_call=True, with_kwargs=with_kwargs))
    handles.append(OnInterrupt(module, interrupted))
    handles.append(Module.register_forward_pre_hook(module, enter, prepend=True))


def take_off(handles: list[Handle]) -> None:
    """Take off what the handles are of; a second call does what an interrupt of the first has left."""
    while handles:
        handles[-1].remove()
        handles.pop()


def last(module: Module, watch: Any) -> None:
    """Let a watch's forward hook run after all hooks of others: noise in a hook is noise of the model.

    Where it does so already the hooks stay as they are: another thread may be going through them.
    """
    hooks: Any = module._forward_hooks  # an OrderedDict
    found = [(key, _watch_of(value)) for key, value in [*hooks.items()]]
    others = max((place for place, (_, owner) in enumerate(found) if owner is None), default=-1)
    for key in [key for key, owner in found[: max(others, 0)] if owner is watch]:
        hooks.move_to_end(key)


def _watch_of(hook: Any) -> Any:
    """The watch that a hook belongs to, or None."""
    return getattr(getattr(hook, "function", None), "__self__", None) or getattr(hook, "watch", None)


# Layers of torch that draw and have no p.
_DRAWS = (torch.nn.RReLU, torch.nn.FractionalMaxPool2d, torch.nn.FractionalMaxPool3d)


def is_quiet(module: Module) -> bool:
    """Whether the own code of a module certainly draws nothing in evaluation: it is a layer of torch or of thinned."""
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule):
        return False
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    others = any(not type(hook).__module__.startswith("thinned.") for hook in hooks)
    known = type(module).__module__.startswith(("torch.nn.modules.", "thinned.nn."))
    return known and not others and "forward" not in module.__dict__ and not isinstance(module, _DRAWS)


def _is_silent(module: Module) -> bool:
    """Whether a module certainly draws nothing in any mode: it is quiet, has no children, and is no dropout."""
    return is_quiet(module) and not module._modules and not rate_attributes(module)
