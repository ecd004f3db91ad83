"""Which stock dropout equals which of ours: a table for torch's classes, a trial for the many copies of DropPath."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ... import nn
from ...nn.variants import VARIANTS
from ...noise import PROBABILITY, check
from ..known.modules import rate_attributes
from ..watch import generators

Module = torch.nn.Module

ORIGINAL = "_converted_from"  # where a layer of ours has the module whose place it took, out of torch's sight

# torch's classes and ours of the same names.
_STOCK: Mapping[type[Module], type[Module]] = {
    getattr(torch.nn, row.name): getattr(nn, row.name) for row in VARIANTS if hasattr(torch.nn, row.name)
}
RECURRENT = {theirs: ours for theirs, ours in _STOCK.items() if issubclass(theirs, torch.nn.RNNBase)}
_PATHS = ("DropPath", "StochasticDepth")  # how classes are called that drop a branch; Hugging Face has fifty
_METADATA = {"__module__", "__qualname__", "__doc__", "__annotations__", "__firstlineno__", "__static_attributes__"}


class DropPath(nn.StochasticDepth):
    """`StochasticDepth` that answers to `drop_prob` too: the models that it is put into read and assign that."""

    @property
    def drop_prob(self) -> float:
        p: float = self.p
        return p

    @drop_prob.setter
    def drop_prob(self, value: float) -> None:
        self.p = value


@dataclass(frozen=True, slots=True)
class Swap:
    """The class of ours that takes a module's place, and what it is set to."""

    kind: type[Module]
    settings: Mapping[str, Any]
    note: str = ""


def swap(module: Module, recurrent: bool = False) -> Swap | str | None:
    """What takes a module's place; or why nothing does; or None for a module that is no dropout."""
    if hasattr(module, "_noises"):  # ours
        return None
    stock = next((kind for kind in type(module).__mro__ if kind in _STOCK), None)
    if stock is not None:
        if stock in RECURRENT and not recurrent and not module.dropout:
            return None
        found = _own_code(type(module), stock) or _activation_or_recurrent(module, stock, recurrent)
    elif type(module).__name__.endswith(_PATHS):
        found = _path(module)
    elif not rate_attributes(module):
        return None
    elif isinstance(module, torch.nn.MultiheadAttention):
        return "it draws inside its call of attention; set_rates reaches it" if module.dropout else None
    else:
        return "there is no such layer in thinned"
    return found if isinstance(found, str) else _hindrance(module, found) or found


def build(module: Module, swap: Swap) -> Module:
    """The layer of ours, with the very state of the module: parameters, hooks, mode and whatever was put on it.

    The dictionaries of parameters and hooks are the module's own, so that neither knows anything the other does not:
    handles of hooks go on working, and what is moved or registered later is there after going back, too.

    Raises:
        TypeError, ValueError: a setting that our layer does not take.
    """
    layer: Module = swap.kind.__new__(swap.kind)
    own = vars(module).copy()
    own.pop("drop_prob", None)
    layer.__dict__.update(own)
    arguments = inspect.signature(swap.kind).parameters
    defaults = {name: arguments[name].default for name in arguments if hasattr(swap.kind, name)}
    for name, value in (defaults | dict(swap.settings)).items():
        setattr(layer, name, value)
    layer.__dict__[ORIGINAL] = module
    return layer


def original(layer: Module) -> Module | None:
    """The module whose place a layer of ours took, brought to the layer's mode; None if it took none."""
    module: Module | None = vars(layer).get(ORIGINAL)
    if module is not None:
        for name in ("training", "_is_full_backward_hook", "_flat_weights", "_flat_weight_refs"):
            if name in vars(module):
                module.__dict__[name] = vars(layer)[name]
    return module


def _own_code(kind: type, stock: type) -> str:
    """Whether a class derived from a stock one has code of its own, said as a reason."""
    for between in kind.__mro__[: kind.__mro__.index(stock)]:
        added = sorted(set(vars(between)) - _METADATA)
        if added:
            return f"a class derived from {stock.__name__}, with its own {', '.join(added[:3])}"
    return ""


def _activation_or_recurrent(module: Any, stock: type, recurrent: bool) -> Swap | str:
    if stock not in RECURRENT:
        inplace, note = module.inplace, ""
        if inplace and stock in (torch.nn.AlphaDropout, torch.nn.FeatureAlphaDropout):
            inplace, note = False, "torch ignores inplace=True here: not in place"
        return Swap(_STOCK[stock], {"p": module.p, "inplace": inplace}, note)
    if not recurrent:
        return "one locked mask a sequence is another noise; convert(..., recurrent=True) takes it"
    if not module.dropout:
        return "dropout=0: it makes no noise"
    if any(type(module._parameters.get(name)) is not torch.nn.Parameter for name in module._flat_weights_names):
        return "its weights are not its own plain parameters (sharded, pruned or normalised): convert it before that"
    note = "locked: one mask a sequence, the first layer's input included"
    return Swap(RECURRENT[stock], {"dropout": module.dropout, "recurrent_dropout": 0.0}, note)


def _path(module: Module) -> Swap | str:
    """Stochastic depth by whatever name: known by what it does, since every library has copies."""
    own = vars(module)
    name = next((name for name in ("drop_prob", "p") if name in own), None)
    if name is None or module._parameters or module._buffers or module._modules:
        return "its name is of stochastic depth, but it has not drop_prob or p alone"
    if not own.get("scale_by_keep", True):
        return "scale_by_keep=False: it scales in neither mode, so training and inference differ in the mean"
    try:
        p, mode = check(PROBABILITY, type(module).__name__, name, own[name]), own.get("mode", "row")
        if not _drops_paths(module, name, mode):
            return f"it does not do what stochastic depth does: x / (1 - {name}) or 0 in training, x at inference"
    except Exception as error:  # people's own code runs here; whatever it raises is the reason
        return f"{type(error).__name__}: {error}"
    return Swap(DropPath if name == "drop_prob" else nn.StochasticDepth, {"p": p, "mode": mode})


def _drops_paths(module: Module, name: str, mode: str) -> bool:
    """Try a copy of the module, at p = 1/4: whole rows, scaled, about as many as p says; the input at inference."""
    rows, calls = (256, 1) if mode == "row" else (3, 256)
    with generators.restored(), torch.no_grad():
        generators.seed(0)
        for shape in ((), (2,), (2, 3, 1)):
            input = torch.arange(1, rows + 1, dtype=torch.float32, device="cpu").view(rows, *[1] * len(shape))
            input = input.expand(rows, *shape).contiguous()
            before = input.clone()
            quiet = _call(module, name, 0.25, False, input), _call(module, name, 0.0, True, input)
            if not all(torch.equal(output, before) for output in quiet):
                return False
            outputs = [_call(module, name, 0.25, True, input) for _ in range(calls)]
            if any(output.shape != input.shape for output in outputs) or not torch.equal(input, before):
                return False
            ratios = (torch.stack(outputs) / before).reshape(calls if mode == "batch" else rows, -1)
            dropped = (ratios == 0).all(1)
            kept = ((ratios - 1 / 0.75).abs() < 1e-5).all(1)
            # 64 of 256 are to be expected; a fair one is outside of these bounds once in 10^9.
            if not (dropped | kept).all() or not 26 <= int(dropped.sum()) <= 110:
                return False
    return True


def _call(module: Module, name: str, p: float, training: bool, input: Tensor) -> Tensor:
    trial = copy.copy(module)
    trial.__dict__.update({name: p, "training": training})
    output: Tensor = trial.forward(input)  # its hooks are for calls of its user
    return output


def replaced_methods(module: Module) -> list[str]:
    """The methods that a module has others of in its own dictionary, which know no module but that one."""
    compiled = ["its call"] if vars(module).get("_compiled_call_impl") is not None else []
    return compiled + [f"its {name}" for name in vars(module) if callable(getattr(type(module), name, None))]


def _hindrance(module: Module, swap: Swap) -> str:
    """What was put on the instance that would be lost, or would go on calling the module that goes."""
    replaced = replaced_methods(module)
    if replaced:
        return f"{replaced[0]} was replaced on the instance, as freeze and compile do: convert it before that"
    plain = {*vars(Module()), *swap.settings, "drop_prob"}
    for name in vars(module):
        if name not in plain and hasattr(swap.kind, name):
            return f"its attribute {name!r} means something else in {swap.kind.__name__}"
    return ""
