"""Which layer of thinned replaces which dropout of another library, and how the new layer is built.

torch's classes are found in a table. The many copies of DropPath are recognised by a trial run.
"""

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
from ..watch.interrupted import is_compiled
from ..watch.private_noise import private_noise

Module = torch.nn.Module

ORIGINAL = "_converted_from"  # a plain attribute of thinned's layer: the module that it replaced, not a submodule of it

# torch's classes, and thinned's classes of the same names.
_STOCK: Mapping[type[Module], type[Module]] = {
    getattr(torch.nn, row.name): getattr(nn, row.name) for row in VARIANTS if hasattr(torch.nn, row.name)
}
RECURRENT = {theirs: ours for theirs, ours in _STOCK.items() if issubclass(theirs, torch.nn.RNNBase)}
_PATHS = ("DropPath", "StochasticDepth")  # endings of the names of classes for stochastic depth; Hugging Face has fifty
_METADATA = {"__module__", "__qualname__", "__doc__", "__annotations__", "__firstlineno__", "__static_attributes__"}


class DropPath(nn.StochasticDepth):
    """`StochasticDepth` whose p can also be read and assigned as `drop_prob`, as models written for a DropPath do."""

    @property
    def drop_prob(self) -> float:
        p: float = self.p
        return p

    @drop_prob.setter
    def drop_prob(self, value: float) -> None:
        self.p = value


@dataclass(frozen=True, slots=True)
class Swap:
    """A replacement for one module: the class of thinned's layer and its settings.

    Example: `torch.nn.Dropout(0.1)` gives `Swap(thinned.nn.Dropout, {"p": 0.1, "inplace": False})`.
    """

    kind: type[Module]
    settings: Mapping[str, Any]
    note: str = ""  # a difference to the original, for the report


def swap(module: Module, recurrent: bool = False) -> Swap | str | None:
    """The replacement for a module; a text with the reason if there is none; None if there is nothing to replace.

    None is the answer for a module without dropout, a layer of thinned's, an attention with dropout 0, and, if
    `recurrent` is false, a recurrent layer with dropout 0.
    """
    if hasattr(module, "_noises"):  # a layer of thinned
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
    """Make thinned's layer with the state of the module: its parameters, hooks, mode and other attributes.

    The dictionaries of parameters, buffers and hooks are shared, not copied. So the handle of a hook can still remove
    it, and a parameter or hook that is changed or added later is in the original module after `revert`, too.

    Raises:
        TypeError: a setting has a type that thinned's layer does not accept.
        ValueError: a setting has a value that thinned's layer does not accept.
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
    """The module that a layer of thinned's replaced, set to the layer's current mode; None if it replaced none."""
    module: Module | None = vars(layer).get(ORIGINAL)
    if module is not None:
        for name in ("training", "_is_full_backward_hook", "_flat_weights", "_flat_weight_refs"):
            if name in vars(module):
                module.__dict__[name] = vars(layer)[name]
    return module


def _own_code(kind: type, stock: type) -> str:
    """The reason not to replace a subclass of one of torch's classes: it defines attributes of its own. Else ""."""
    for between in kind.__mro__[: kind.__mro__.index(stock)]:
        added = sorted(set(vars(between)) - _METADATA)
        if added:
            return f"a class derived from {stock.__name__}, with its own {', '.join(added[:3])}"
    return ""


def _activation_or_recurrent(module: Any, stock: type, recurrent: bool) -> Swap | str:
    """The replacement for a class of torch, or the reason why there is none."""
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
    """The replacement for a class of stochastic depth, or the reason why there is none.

    Every library has its own copy of the class, so it is recognised by a trial run.
    """
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
    except Exception as error:  # the user's code runs here and may raise anything: the error is the reason
        return f"{type(error).__name__}: {error}"
    return Swap(DropPath if name == "drop_prob" else nn.StochasticDepth, {"p": p, "mode": mode})


def _drops_paths(module: Module, name: str, mode: str) -> bool:
    """Whether a copy of the module computes stochastic depth.

    At inference, and at p = 0, it must return the input. In training at p = 1/4 it must drop whole rows, about 1/4 of
    them, and divide the other rows by 3/4. With mode "batch" the whole batch is dropped or divided, in about 1/4 of the
    calls.
    """
    rows, calls = (256, 1) if mode == "row" else (3, 256)
    with private_noise(module, own=False) as noise, noise.given(), torch.no_grad():
        noise.seed(0)
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
            # 64 of 256 are expected. A correct layer is outside of these bounds with probability 1e-9.
            if not (dropped | kept).all() or not 26 <= int(dropped.sum()) <= 110:
                return False
    return True


def _call(module: Module, name: str, p: float, training: bool, input: Tensor) -> Tensor:
    trial = copy.copy(module)
    trial.__dict__.update({name: p, "training": training})
    output: Tensor = trial.forward(input)  # not `trial(input)`: the user's hooks must not run in a trial
    return output


def replaced_methods(module: Module) -> list[str]:
    """Names of the methods that were replaced on this instance, in its `__dict__`, as `freeze` and `compile` do.

    Such a method is bound to this instance: it would not work for a module that replaces it.
    """
    compiled = ["its call"] if is_compiled(module) else []
    return compiled + [f"its {name}" for name in vars(module) if callable(getattr(type(module), name, None))]


def _hindrance(module: Module, swap: Swap) -> str:
    """The reason why this instance cannot be replaced, or "".

    Reasons are a method replaced on the instance, which would still run the old module, and an attribute that thinned's
    class uses for something else.
    """
    replaced = replaced_methods(module)
    if replaced:
        return f"{replaced[0]} was replaced on the instance, as freeze and compile do: convert it before that"
    plain = {*vars(Module()), *swap.settings, "drop_prob", "_compiled_call_impl"}  # the last: a watch's, see above
    for name in vars(module):
        if name not in plain and hasattr(swap.kind, name):
            return f"its attribute {name!r} means something else in {swap.kind.__name__}"
    return ""
