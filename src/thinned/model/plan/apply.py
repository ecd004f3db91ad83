"""`thinned.apply`: put the dropout of a plan into a model by hooks, without a change of the model's code.

A new dropout is a module without parameters or buffers, and a child of the module at whose place it acts. So
`state_dict` does not change, and `train`, `eval`, `.to`, copies, pickles, streams and `inspect` treat it as any other
submodule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch

from ... import nn
from ...nn.names import named_modules
from ...nn.site import stream_attributes
from ..edit.anchor import Anchor
from ..edit.call_hook import CallEdit, Forward, functions
from ..edit.module_hook import InputHook, OutputHook
from ..edit.rate_holder import Attribute
from ..edit.switched_off import is_disabled
from ..known.functions import FUNCTIONS
from ..known.modules import rate_attributes
from ..rates.rate_places import RatePlaces
from ..watch.interrupted import is_compiled
from ..watch.untouched import check_module

if TYPE_CHECKING:
    from .line import PlanLine
    from .plan import Plan

Module = torch.nn.Module

_MARK = "_thinned_plan"  # the attribute of a model that holds its `Applied`
_ITERATES = {"children", "named_children", "modules", "named_modules", "_modules"}


class Applied:
    """The dropout that one call of `apply` has put into a model. `remove()`, or the end of a `with`, takes it out."""

    def __init__(self, model: Module, plan: Plan) -> None:
        self.model = model
        self.places: tuple[
            str, ...
        ] = ()  # the names of the new dropouts, and "module.attribute" of each p that was set
        self._plan = plan
        self._undo: list[tuple[Any, ...]] = []

    @property
    def plan(self) -> Plan:
        """The plan, with the p that each of its enabled places has in the model now.

        Raises:
            RuntimeError: the model has a place of the plan no more: the plan was removed, or a module replaced.
        """
        places = RatePlaces("Applied.plan", self.model)
        lines = []
        for line in self._plan.lines:
            if line.enabled:
                name = places.aliases.get(line.where, "")
                p = places.by_name[name].p if name else None
                if p is None or not self._undo:
                    raise RuntimeError(
                        f"`Applied.plan`: the plan must be in the model. Got no place at {line.where!r}: it was "
                        "removed, or its module replaced. Use the plan that was applied."
                    )
                line = replace(line, p=p)
            lines.append(line)
        return replace(self._plan, lines=tuple(lines))

    @staticmethod
    def of(model: Module) -> Applied | None:
        """The `Applied` of a model that has a plan, or of a copy of such a model; None if it has no plan."""
        found: Applied | None = model.__dict__.get(_MARK)
        return found

    def remove(self) -> None:
        """Restore the model as it was before `apply`. A second call does nothing.

        Where the plan set the p of a dropout, and `convert` has put another in its place, both get the former p.

        Raises:
            RuntimeError: nothing stands any more where the plan set a p, or `disabled` holds it at 0. Nothing is
                changed then.
        """
        present = dict(named_modules(self.model))
        also = [
            (other, name, value)
            for what, *rest in reversed(self._undo)
            if what == "set"
            for other, name, value in _set_too(present, *rest)
        ]
        for what, *rest in [*reversed(self._undo), *(("set", "", *more) for more in also)]:
            if what == "hook":
                rest[0].remove()
            elif what == "child":
                rest[0]._modules.pop(rest[1], None)
            elif what == "forward":
                rest[0].leave()
            else:
                setattr(*rest[1:])
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


def _set_too(
    present: Mapping[str, Module], name: str, module: Module, attribute: str, value: Any
) -> list[tuple[Module, str, Any]]:
    """The module that stands in the place of one whose p was set, with the attribute and the former value for it."""
    other = present.get(name)
    if is_disabled(module) or (other is not None and is_disabled(other)):
        raise RuntimeError(
            f"`Applied.remove`: a dropout must have its own p. Got {name!r}, which `disabled` holds at 0. Leave the "
            "`with` first."
        )
    if other is module:
        return []
    held = [attribute] if hasattr(other, attribute) else [*rate_attributes(other)[:1]] if other is not None else []
    if other is None or not held:
        raise RuntimeError(
            f"`Applied.remove`: the place {name!r}, whose p the plan set, must be in the model. Got "
            f"{'none' if other is None else type(other).__name__} there. Put the dropout back first."
        )
    return [(other, held[0], value)]


def apply(model: Module, plan: Plan) -> Applied:
    """Put the enabled lines of a plan into a model: add new dropouts by hooks, and set p of dropouts that it has.

    Parameters, buffers, `state_dict` and results in evaluation mode stay as they are. The new dropouts are modules of
    `thinned.nn`, with names such as `<module>.thinned_output`. Apply a plan before `torch.compile`.

    Arguments:
        model: the model for which the plan was made, or another model with the same modules.
        plan: a `Plan`.

    Returns:
        An `Applied`. Its `remove()` undoes everything. It is also a context manager:
        `with thinned.apply(model, plan): ...`.

    Raises:
        TypeError: `plan` is no Plan.
        TypeError: `model` is no module.
        ValueError: the model does not have some places of the plan; the message names all of them. Nothing is changed
            then.
        ValueError: the model is compiled. Nothing is changed then.
        RuntimeError: the model has a plan already, or is in an active stream, which would not know the new layers.

    Cost: one more call in Python for each line in a forward pass. A line at a call of a function costs 2 microseconds
    of CPU more for each call of torch in its module; in a compiled graph nothing.

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
    streams = (stream_attributes(layer) for _, layer in named_modules(model) if hasattr(layer, "_noises"))
    if any(value is not None for own in streams for value in own.values()):
        raise RuntimeError(
            "`apply`: `model` must be in no active stream, which would not know the new layers. Got one that is. Leave "
            "the stream first."
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
    applied = Applied(model, plan)
    model.__dict__[_MARK] = applied
    try:
        applied.places = tuple(_put(applied, line, modules) for line in plan.enabled)
    except BaseException:
        applied.remove()
        raise
    return applied


def _is_compiled(model: Module) -> bool:
    return "_orig_mod" in model._modules or is_compiled(model)


def _has_plan(module: Module) -> bool:
    """Whether a plan has been applied to a module: its mark, a hook or a replaced forward is there."""
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values(), module.__dict__.get("forward"))
    return _MARK in module.__dict__ or any(isinstance(hook, OutputHook | InputHook | Forward) for hook in hooks)


def _problem(anchor: Anchor, modules: dict[str, Module]) -> str:
    """The reason why the model has no such place, or "" if it has."""
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
    """Whether a module has a forward: a ModuleList has none."""
    return type(module).forward is not Module.forward


def _put(applied: Applied, line: PlanLine, modules: dict[str, Module]) -> str:
    """Put one line into the model. The result is its entry in `Applied.places`."""
    anchor, module = line.anchor, modules[line.anchor.module]
    if anchor.is_rate and not anchor.call:
        if is_disabled(module):
            raise RuntimeError(
                f"`apply`: a dropout must have its own p. Got {anchor.module!r}, which `disabled` holds at 0. Leave "
                "the `with` first."
            )
        applied._undo.append(("set", anchor.module, module, anchor.what, getattr(module, anchor.what)))
        Attribute(module, anchor.what).p = line.p
        return f"{anchor.module}.{anchor.what}".lstrip(".")
    if anchor.is_rate:
        _forward(applied, module).edit(CallEdit(anchor, line.p, None))
        return f"{anchor.module}:{anchor.call}"
    drop = _build(line).train(module.training)
    holder = _holder(module)
    name = anchor.child
    while name in holder._modules or hasattr(holder, name):  # a Sequential and its last child may both have one
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
    """The new layer for a line."""
    settings = {"batch_first": line.batch_first} if line.variant == "LockedDropout" else {}
    layer: Module = getattr(nn, line.variant)(line.p, **settings)
    return layer


def _forward(applied: Applied, module: Module) -> Forward:
    """The `Forward` that replaces the module's forward; it is made if there is none yet."""
    forward = module.__dict__.get("forward")
    if not isinstance(forward, Forward):
        forward = Forward(module)
        module.__dict__["forward"] = forward
        applied._undo.append(("forward", forward))
    return forward


def _holder(module: Module) -> Module:
    """The module whose child the new dropout becomes.

    It is the module itself, unless its code iterates over its children: then it would also call the dropout. In this
    case it is the last child, or a descendant of it.
    """
    while _runs_over_children(module):
        children = [child for child in module.children() if not isinstance(child, torch.jit.ScriptModule)]
        if not children:
            break
        module = children[-1]
    return module


def _runs_over_children(module: Module) -> bool:
    """Whether the code of a module's class may iterate over its children."""
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
    """The code objects of a function and of the functions inside it."""
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        yield code
