"""Stock dropouts into ours and back, in place: `thinned.convert(model)` and `thinned.revert(model)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import NamedTuple

import torch

from ...nn.names import named_modules
from ...nn.site import stream_attributes
from ...noise import realised
from ..known.modules import rate_of
from ..quiet.disabled import is_disabled
from ..watch.untouched import check_module
from .conversion import Change, Conversion, Left
from .parents import held, unregistered
from .swap import ORIGINAL, RECURRENT, Swap, build, original, replaced_methods, swap

Module = torch.nn.Module


def convert(model: Module, *, only: str | Sequence[str] | None = None, recurrent: bool = False) -> Conversion:
    """Put thinned's layers where a model has stock dropouts, in place.

    Taken: torch's Dropout, Dropout1d/2d/3d, AlphaDropout and FeatureAlphaDropout; stochastic depth of timm,
    torchvision, Hugging Face and whoever else has a class called DropPath that, tried out, does what `StochasticDepth`
    does. p, `inplace`, mode, hooks and whatever else was set on a module stay; names and order in `state_dict` and
    results in eval mode stay bit for bit. In training the noise is of the same law and other draws
    (docs/guides/convert.md).

    Arguments:
        model: any module, with torch's wrappers around it (compiled, DDP, FSDP) or without.
        only: patterns of qualified names, such as "encoder.*": the dropouts to take. None takes all.
        recurrent: take LSTM, GRU and RNN with `dropout` too, their parameters being the same objects after it. Their
            noise becomes another: one mask a sequence, the same at every step, on every layer's input, the first
            included.

    Returns:
        The report: `.changed`, `.left` with reasons, `.already` ours, `.revert()`. Print it for a table.

    Raises:
        TypeError: no module, or one of TorchScript.
        ValueError: the model itself is the dropout; a pattern that matches none. Nothing is changed then.
        RuntimeError: the model is in an active stream; a dropout to be taken is inside `with thinned.disabled(...)`.

    Cost: the modules that go are kept for `revert`. Functional calls are not seen: `thinned.inspect` shows them.

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> print(convert(model))
    path  was               is                  p
    1     torch.nn.Dropout  thinned.nn.Dropout  0.1
    >>> convert(model)
    <Conversion: 0 changed, 0 left, 1 thinned's already>
    """
    _check_model("convert", model)
    places = list(_dropouts(model, recurrent))
    already = list(dict.fromkeys(name for name, module in named_modules(model) if hasattr(module, "_noises")))
    if only is not None:
        patterns = [only] if isinstance(only, str) else list(only)
        _check_patterns(patterns, [*(name for place in places for name in place.names), *already])
        places = [place for place in places if _matches(patterns, place.names)]
        already = [name for name in already if _matches(patterns, [name])]
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
    """Put back the modules whose places `convert` gave to ours: the very same objects, with the settings they had.

    Mode, parameters and hooks are those of now: a model in eval mode stays in it. p and whatever else was assigned to a
    layer of ours goes with the layer. A copy of a converted model has copies of the modules to go back to.

    Returns:
        The report, the other way round; without changes where there was nothing to put back.

    Raises:
        TypeError: no module, or one of TorchScript.
        RuntimeError: the model is in an active stream; a layer is frozen or compiled on its own, or inside
            `with thinned.disabled(...)`.

    >>> dropout = torch.nn.Dropout(0.1)
    >>> model = torch.nn.Sequential(dropout)
    >>> convert(model), revert(model), model[0] is dropout
    (<Conversion: 1 changed, 0 left>, <Conversion: 1 changed, 0 left>, True)
    """
    return _put_back(model)


class _StockDropout(NamedTuple):
    """A dropout: its names, where it sits (a parent, and what that calls it), and what takes its place, or why not."""

    names: list[str]
    module: Module
    slots: list[tuple[Module, str]]
    swap: Swap | str


def _put_back(model: Module, layers: Iterable[Module] | None = None) -> Conversion:
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
    fsdp = any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules())
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
    for name, module in unregistered(model):
        if swap(module, recurrent) is not None:
            yield _StockDropout([name], module, [], "in a plain attribute or list, where torch sees no submodule")


def _layer(place: _StockDropout) -> Module | str:
    try:
        return place.swap if isinstance(place.swap, str) else build(place.module, place.swap)
    except (TypeError, ValueError) as error:  # a p that was assigned after construction, which torch does not check
        return str(error)


def _p(module: Module) -> float | None:
    try:
        return rate_of(module)
    except (TypeError, ValueError):  # it was never a number
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
    """A class as people know it: "torch.nn.Dropout", "timm.DropPath", "thinned.nn.DropPath"."""
    kind = type(module)
    package, *_ = kind.__module__.split(".")
    return {"__main__": "", "torch": "torch.nn.", "thinned": "thinned.nn."}.get(package, f"{package}.") + kind.__name__


def _matches(patterns: Iterable[str], names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _check_patterns(patterns: list[str], names: list[str]) -> None:
    for pattern in patterns:
        if not _matches([pattern], names):
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "none"
            raise ValueError(
                f"`convert`: `only` must name dropouts of the model. Got {pattern!r}, which matches none. "
                f"Places: {shown}."
            )


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
