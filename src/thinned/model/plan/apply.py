"""`thinned.apply`: a plan's dropout put into a model by hooks, with nothing of the model rewritten.

A new dropout is a module without parameters or buffers, a child of the module that it belongs to: so `state_dict` stays
as it was, and `train`, `eval`, `.to`, copies, pickles, streams and `inspect` find it like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch

from ... import nn
from ...nn.names import named_modules
from ..edit.anchor import Anchor
from ..edit.call_hook import CallEdit, Forward, functions
from ..edit.module_hook import InputHook, OutputHook
from ..edit.rate_holder import Attribute
from ..known.functions import FUNCTIONS
from ..watch.untouched import check_module

if TYPE_CHECKING:
    from .line import PlanLine
    from .plan import Plan

Module = torch.nn.Module

_MARK = "_thinned_plan"  # where a model has its `Applied`
_ITERATES = {"children", "named_children", "modules", "named_modules", "_modules"}


class Applied:
    """What `apply` has put into a model. `remove` takes it out again; so does leaving a `with`."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.places: tuple[
            str, ...
        ] = ()  # the names of the new dropouts, and "module.attribute" of each p that was set
        self._undo: list[tuple[Any, ...]] = []

    @staticmethod
    def of(model: Module) -> Applied | None:
        """What a model has of a plan: also for a copy of the model that `apply` was given."""
        found: Applied | None = model.__dict__.get(_MARK)
        return found

    def remove(self) -> None:
        """Bring the model back to how it was. A second call does nothing."""
        for what, *rest in reversed(self._undo):
            if what == "hook":
                rest[0].remove()
            elif what == "child":
                rest[0]._modules.pop(rest[1], None)
            elif what == "forward":
                rest[0].leave()
            else:
                setattr(*rest)
        self._undo = []
        if self.model.__dict__.get(_MARK) is self:
            del self.model.__dict__[_MARK]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"Applied({', '.join(self.places) or 'nothing'})"


def apply(model: Module, plan: Plan) -> Applied:
    """Put a plan's enabled lines into a model: new dropouts by hooks, and p where the model has the dropout.

    Parameters, buffers, `state_dict` and results in evaluation mode stay as they are. The dropouts are modules of
    `thinned.nn`, named `<module>.thinned_output` and the like. Apply a plan before `torch.compile`.

    Arguments:
        model: the one that was planned, or another with the same modules.
        plan: a `Plan`.

    Returns: an `Applied`, whose `remove()` undoes all of it; also as `with thinned.apply(model, plan): ...`.

    Raises:
        TypeError: `plan` is no Plan, or `model` no module.
        ValueError: places that the model has not, all of them named; a compiled model. Nothing is changed then.
        RuntimeError: the model has a plan already.

    Cost: a Python call for each place in a forward pass; for a place at a call of a function, 2 microseconds of CPU
    more for each call of torch in its module, none in a compiled graph.

    >>> import thinned
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    >>> thinned.apply(net, thinned.plan(net, torch.ones(8, 64)))
    Applied(1.thinned_output)
    """
    from .plan import Plan

    check_module("apply", model)
    if not isinstance(plan, Plan):
        raise TypeError(
            f"`apply`: `plan` must be a Plan. Got {type(plan).__name__}. Make one with thinned.plan, or read one with "
            "thinned.Plan.load."
        )
    if _is_compiled(model):
        raise ValueError(
            "`apply`: `model` must not be compiled yet, because its graphs would not see the hooks. Got a compiled "
            "one. Apply the plan first, then compile."
        )
    modules = {**dict(model.named_modules(remove_duplicate=False)), **dict(named_modules(model))}
    planted = next((name for name, module in modules.items() if _has_plan(module)), None)
    if planted is not None:
        raise RuntimeError(
            f"`apply`: `model` must have no plan yet. Got one that has, at {planted or 'the model itself'!r}. Take "
            "that out with its remove(), or edit the plan and apply it to a new model."
        )
    problems = [problem for line in plan.enabled if (problem := _problem(line.anchor, modules))]
    if problems:
        raise ValueError(
            f"`apply`: `plan` must name places of the model. It has not: {'; '.join(problems)}. Plan this model anew, "
            "or mend `where` in the file."
        )
    applied = Applied(model)
    model.__dict__[_MARK] = applied
    try:
        applied.places = tuple(_put(applied, line, modules) for line in plan.enabled)
    except BaseException:
        applied.remove()
        raise
    return applied


def _is_compiled(model: Module) -> bool:
    return "_orig_mod" in model._modules or model.__dict__.get("_compiled_call_impl") is not None


def _has_plan(module: Module) -> bool:
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values(), module.__dict__.get("forward"))
    return _MARK in module.__dict__ or any(isinstance(hook, OutputHook | InputHook | Forward) for hook in hooks)


def _problem(anchor: Anchor, modules: dict[str, Module]) -> str:
    """Why a line cannot be put into the model, or ""."""
    module = modules.get(anchor.module)
    if module is None:
        return f"{str(anchor)!r}, for want of a module {anchor.module!r}"
    if isinstance(module, torch.jit.ScriptModule) and not anchor.is_rate:
        return f"{str(anchor)!r}, for a scripted module takes no new children"
    if anchor.call:
        if not functions(anchor.call):
            return f"{str(anchor)!r}, for torch has no function {anchor.call!r}"
        if anchor.is_rate and (anchor.call not in FUNCTIONS or anchor.what not in FUNCTIONS[anchor.call].p.names):
            return f"{str(anchor)!r}, for {anchor.call} has no such probability"
        return ""
    if anchor.is_rate and not isinstance(getattr(module, anchor.what, None), int | float):
        return f"{str(anchor)!r}, for {type(module).__name__} has no number {anchor.what!r}"
    if not anchor.is_rate and isinstance(module, torch.nn.ModuleList | torch.nn.ModuleDict) and not _runs(module):
        return f"{str(anchor)!r}, for a {type(module).__name__} is never called"
    return ""


def _runs(module: Module) -> bool:
    return type(module).forward is not Module.forward


def _put(applied: Applied, line: PlanLine, modules: dict[str, Module]) -> str:
    """Put one line into the model, and tell what its place is called."""
    anchor, module = line.anchor, modules[line.anchor.module]
    if anchor.is_rate and not anchor.call:
        applied._undo.append(("set", module, anchor.what, getattr(module, anchor.what)))
        Attribute(module, anchor.what).p = line.p
        return f"{anchor.module}.{anchor.what}".lstrip(".")
    if anchor.is_rate:
        _forward(applied, module).edit(CallEdit(anchor, line.p, None))
        return f"{anchor.module}:{anchor.call}"
    drop = _build(line).train(module.training)
    holder = _holder(module)
    name = anchor.child
    while name in holder._modules or hasattr(holder, name):  # a Sequential and its last may both have an output
        name += "_"
    holder.add_module(name, drop)
    applied._undo.append(("child", holder, name))
    if anchor.call:
        _forward(applied, module).edit(CallEdit(anchor, line.p, drop))
    elif anchor.what == "output":
        applied._undo.append(("hook", module.register_forward_hook(OutputHook(drop, str(anchor)))))
    else:
        hook = module.register_forward_pre_hook(InputHook(drop, str(anchor)), with_kwargs=True)
        applied._undo.append(("hook", hook))
    path = next(path for path, module in modules.items() if module is holder)
    return f"{path}.{name}" if path else name


def _build(line: PlanLine) -> Module:
    settings = {"batch_first": line.batch_first} if line.variant == "LockedDropout" else {}
    layer: Module = getattr(nn, line.variant)(line.p, **settings)
    return layer


def _forward(applied: Applied, module: Module) -> Forward:
    """The module's forward as a `Forward`, made so where it is not."""
    forward = module.__dict__.get("forward")
    if not isinstance(forward, Forward):
        forward = Forward(module)
        module.__dict__["forward"] = forward
        applied._undo.append(("forward", forward))
    return forward


def _holder(module: Module) -> Module:
    """Whose child the dropout becomes: the module, or a leaf below it where it runs over its own children."""
    while _runs_over_children(module):
        children = [child for child in module.children() if not isinstance(child, torch.jit.ScriptModule)]
        if not children:
            break
        module = children[-1]
    return module


def _runs_over_children(module: Module) -> bool:
    if isinstance(module, torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ModuleDict):
        return True
    own = type(module).__mro__[: type(module).__mro__.index(Module)]
    if any(kind.__module__.startswith("torch.nn.") for kind in own[:1]):
        return False
    return any(
        not _ITERATES.isdisjoint(code.co_names)
        for kind in own
        for function in vars(kind).values()
        for code in _codes(getattr(function, "__wrapped__", function))
    )


def _codes(function: Callable[..., Any] | Any) -> Iterator[CodeType]:
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        yield code
