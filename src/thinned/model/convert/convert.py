"""`thinned.convert` and `thinned.revert`: replace the dropouts of other libraries by thinned's, in place, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch

from ...nn.names import named_modules
from ...nn.site import stream_attributes
from ...noise import realised
from ..edit.switched_off import is_disabled
from ..inspect.pattern import matching_names
from ..known.keras import warn_of_keras
from ..known.modules import rate_of
from ..watch.unregistered import unregistered
from ..watch.untouched import check_module
from .conversion import Change, Conversion, Left
from .parents import held
from .swap import ORIGINAL, RECURRENT, Swap, build, original, replaced_methods, swap

Module = torch.nn.Module


def convert(model: Module, *, only: str | Sequence[str] | None = None, recurrent: bool = False) -> Conversion:
    """Replace the dropouts of torch and other libraries in a model by thinned's layers, in place.

    Replaced are torch's Dropout, Dropout1d/2d/3d, AlphaDropout and FeatureAlphaDropout, and stochastic depth: of timm,
    torchvision, Hugging Face, and every other class whose name ends in DropPath or StochasticDepth, if a trial run
    shows that it computes stochastic depth. p, `inplace`, mode, hooks and other attributes of a module stay as they
    are. So do the names and the order in `state_dict`, and the results in eval mode, bit for bit. In training the noise
    has the same law, but the masks are others (docs/guides/convert.md).

    Arguments:
        model: any module, with torch's wrappers around it (compiled, DDP, FSDP) or without.
        only: patterns of qualified names, such as "encoder.*": the dropouts to replace. None replaces all.
        recurrent: replace LSTM, GRU and RNN with `dropout` too. Their parameters stay the same objects. Their noise
            changes: one mask a sequence, the same at every step, on the input of every layer, the first included.

    Returns:
        The report: `.changed`; `.left`, with reasons; `.already`, the names of thinned's layers; `.revert()`. `print`
        shows it as a table.

    Raises:
        TypeError: `model` is no module, or a module of TorchScript.
        ValueError: the model itself is a dropout. Nothing is changed then.
        ValueError: a pattern matches no dropout. Nothing is changed then.
        RuntimeError: the model is in an active stream.
        RuntimeError: a dropout to be replaced is inside `with thinned.disabled(...)`.

    Cost: the replaced modules stay in memory, for `revert`. Calls of functions such as `F.dropout` are not replaced:
    `thinned.inspect` shows them.

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> print(convert(model))
    path  was               is                  p
    1     torch.nn.Dropout  thinned.nn.Dropout  0.1
    >>> convert(model)
    <Conversion: 0 changed, 0 left, 1 thinned's already>
    """
    _check_model("convert", model)
    warn_of_keras("convert", model)
    places = list(_dropouts(model, recurrent))
    already = list(dict.fromkeys(name for name, module in named_modules(model) if hasattr(module, "_noises")))
    if only is not None:
        patterns = [only] if isinstance(only, str) else list(only)
        wanted = _named(patterns, [*(name for place in places for name in place.names), *already])
        places = [place for place in places if not wanted.isdisjoint(place.names)]
        already = [name for name in already if name in wanted]
    changed, left, layers = [], [], []
    for place in places:
        if isinstance(place.swap, Swap):
            _check_own_rate("convert", place.names[0], place.module)
        layer = _layer(place)
        if isinstance(layer, str):
            left.append(Left(place.names[0], _title(place.module), _p(place.module), layer))
        else:
            layers.append((layer, place))
            changed.append(_change(place, layer))
    for layer, place in layers:
        for parent, name in place.slots:
            parent._modules[name] = layer
    undo = partial(_put_back, model, [layer for layer, _ in layers])
    return Conversion(tuple(changed), tuple(left), tuple(already), undo)


def revert(model: Module) -> Conversion:
    """Undo `convert`: put the original modules back, the same objects with the settings that they had then.

    Mode, parameters and hooks are the current ones of thinned's layer: a model in eval mode stays in eval mode. p and
    other attributes that were assigned to thinned's layer are lost. A copy of a converted model has its own copies of
    the original modules.

    Returns:
        The report: from thinned's layers to the original modules. It has no rows if there was nothing to put back.

    Raises:
        TypeError: `model` is no module, or a module of TorchScript.
        ValueError: the model itself is a layer that `convert` has put somewhere.
        RuntimeError: the model is in an active stream.
        RuntimeError: a layer is frozen, or compiled on its own.
        RuntimeError: a layer is inside `with thinned.disabled(...)`.

    >>> dropout = torch.nn.Dropout(0.1)
    >>> model = torch.nn.Sequential(dropout)
    >>> convert(model), revert(model), model[0] is dropout
    (<Conversion: 1 changed, 0 left>, <Conversion: 1 changed, 0 left>, True)
    """
    return _put_back(model)


class _StockDropout(NamedTuple):
    """A dropout with its names and slots (as in `Held`), and its `Swap`, or the reason why it is not replaced."""

    names: list[str]
    module: Module
    slots: list[tuple[Module, str]]
    swap: Swap | str


def _put_back(model: Module, layers: Iterable[Module] | None = None) -> Conversion:
    """Put back the original modules of these layers, or of all layers that have one (None)."""
    _check_model("revert", model)
    wanted = None if layers is None else {id(layer) for layer in layers}
    found = [place for place in held(model) if wanted is None or id(place[1]) in wanted]
    for (name, *_), layer, slots in found:
        if ORIGINAL in vars(layer):
            _check_way_back(name, layer, slots)
            _check_own_rate("revert", name, layer)
    changed = []
    for (name, *_), layer, slots in found:
        module = original(layer)
        if module is not None:
            changed.append(Change(name, _title(layer), _title(module), rate_of(module) or 0.0))
            for parent, child in slots:
                parent._modules[child] = module
    return Conversion(tuple(changed))


def _dropouts(model: Module, recurrent: bool) -> Iterator[_StockDropout]:
    """Every dropout of another library in the model, whether it can be replaced or not."""
    fsdp = any(type(module).__name__ == "FullyShardedDataParallel" for _, module in named_modules(model))
    for names, module, slots in held(model):
        if isinstance(module, torch.jit.ScriptModule):
            if "drop" in module.original_name.lower():
                yield _StockDropout(names, module, slots, "compiled by TorchScript: convert the model before that")
            continue
        found = swap(module, recurrent)
        if isinstance(found, Swap) and any(name == "_orig_mod" for _, name in slots):
            found = "compiled on its own by torch.compile: convert it before that"
        if isinstance(found, Swap) and (not slots or not names[0]):
            raise ValueError(
                f"`convert`: `model` must hold its dropouts as submodules, to be replaced in place. Got a "
                f"{type(module).__name__} itself. Use thinned.nn.{found.kind.__name__} for it, or convert "
                "torch.nn.Sequential(model)."
            )
        if isinstance(found, Swap) and fsdp and found.kind in RECURRENT.values():
            found = "FSDP holds its weights: convert it before wrapping"
        if found is not None:
            yield _StockDropout(names, module, slots, found)
    for name, module in unregistered(model, shared=True).items():
        if swap(module, recurrent) is not None:
            yield _StockDropout([name], module, [], "in a list or an object, where torch sees no submodule")


def _named(patterns: Iterable[str], names: Sequence[str]) -> set[str]:
    """The names that at least one pattern matches; an error for a pattern that matches none."""
    kind = "dropouts of the model"
    return {name for pattern in patterns for name in matching_names("convert", "only", pattern, names, kind=kind)}


def _layer(place: _StockDropout) -> Module | str:
    """The new layer for a dropout, or the reason why there is none."""
    try:
        return place.swap if isinstance(place.swap, str) else build(place.module, place.swap)
    except (TypeError, ValueError) as error:  # a bad p, assigned after construction: torch does not check it
        return str(error)


def _p(module: Module) -> float | None:
    try:
        return rate_of(module)
    except (TypeError, ValueError):  # p is no number
        return None


def _change(place: _StockDropout, layer: Module) -> Change:
    assert isinstance(place.swap, Swap)
    p = rate_of(layer) or 0.0
    notes = [place.swap.note] if place.swap.note else []
    if len(place.names) > 1:
        notes.append(f"shared, also at {', '.join(place.names[1:])}")
    if f"{p:.3g}" != f"{realised(p):.3g}":
        notes.append(f"p realised as {realised(p):.6g}")
    return Change(place.names[0], _title(place.module), _title(layer), p, "; ".join(notes))


def _title(module: Module) -> str:
    """The name of a module's class as users write it: "torch.nn.Dropout", "timm.DropPath", "thinned.nn.DropPath"."""
    kind = type(module)
    package, *_ = kind.__module__.split(".")
    return {"__main__": "", "torch": "torch.nn.", "thinned": "thinned.nn."}.get(package, f"{package}.") + kind.__name__


def _check_way_back(name: str, layer: Module, slots: list[tuple[Module, str]]) -> None:
    if not slots:
        raise ValueError(
            f"`revert`: `model` must hold its dropouts as submodules, to be replaced in place. Got a converted "
            f"{type(layer).__name__} itself. Pass the model that holds it."
        )
    replaced = replaced_methods(layer)
    if replaced:
        raise RuntimeError(
            f"`revert`: a layer must be free to go. Got {name!r}, on which {replaced[0]} was replaced since, as "
            "`freeze` and `compile` do. Undo that first."
        )


def _check_own_rate(owner: str, name: str, module: Module) -> None:
    if is_disabled(module):
        raise RuntimeError(
            f"`{owner}`: a dropout must have its own p when another takes its place. Got {name!r}, which `disabled` "
            "holds at 0. Leave the `with` first."
        )


def _check_model(owner: str, model: Module) -> None:
    check_module(owner, model)
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            f"`{owner}`: `model` must be a module of Python. Got {type(model).__name__}, compiled by TorchScript. "
            "Convert the model that it was made of."
        )
    streams = (stream_attributes(layer) for _, layer in named_modules(model) if hasattr(layer, "_noises"))
    if any(value is not None for own in streams for value in own.values()):
        raise RuntimeError(
            f"`{owner}`: `model` must be in no active stream, which would not know the new layers. Got one that is. "
            "Leave the stream first."
        )
