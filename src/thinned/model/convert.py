"""Stock dropouts into ours and back, in place: `thinned.convert(model)` and `thinned.revert(model)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch

from ..nn.names import named_modules, unwrapped
from ..noise import realised
from .noisy import rate_of
from .swap import ORIGINAL, Swap, build, original, swap

Module = torch.nn.Module


@dataclass(frozen=True, slots=True)
class Change:
    """One module that another took the place of."""

    path: str
    was: str
    now: str
    p: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """One dropout that was left as it is, and why."""

    path: str
    kind: str
    p: float | None
    reason: str


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Conversion:
    """What `convert` or `revert` did, one row a module. `print` shows it as a table; `revert()` undoes a conversion."""

    changed: tuple[Change, ...]
    left: tuple[Left, ...] = ()
    already: tuple[str, ...] = ()  # the names of layers that were thinned's before
    _model: Module | None = field(default=None)
    _layers: tuple[Module, ...] = ()

    def revert(self) -> Conversion:
        """Undo these changes, and no others that `convert` has made of the model."""
        return _put_back(self._model, self._layers) if self._model is not None else Conversion(())

    def __repr__(self) -> str:
        counts = f"{len(self.changed)} changed, {len(self.left)} left, {len(self.already)} already thinned's"
        return f"<{type(self).__name__}: {counts}>"

    def __str__(self) -> str:
        parts = []
        if self.changed:
            rows = [(row.path, row.was, row.now, f"{row.p:g}", row.note) for row in self.changed]
            parts.append(_table(("path", "was", "is", "p", "note"), rows))
        else:
            parts.append("Nothing was changed.")
        if self.already:
            parts.append(f"Thinned's already: {len(self.already)}, {_some(self.already)}")
        if self.left:
            lines = [
                (row.path or "(the model)", row.kind, "" if row.p is None else f"{row.p:g}", row.reason)
                for row in self.left
            ]
            parts.append("Left as they are:\n" + _table(("path", "is", "p", "reason"), lines))
        return "\n\n".join(parts)


def convert(model: Module, *, only: str | Sequence[str] | None = None, recurrent: bool = False) -> Conversion:
    """Put thinned's layers where a model has stock dropouts, in place.

    Taken: torch's Dropout, Dropout1d, 2d, 3d, AlphaDropout, FeatureAlphaDropout; stochastic depth of timm, torchvision,
    Hugging Face and whoever else has a class called DropPath that, tried out, does what StochasticDepth does. p,
    `inplace`, the mode, hooks and whatever else is set on a module stay; names and order in `state_dict` and results in
    eval mode stay bit for bit; parameters stay the same objects. In training the noise is thinned's: other masks, of the
    same law (docs/convert.md has the differences).

    Arguments:
        model: any module; torch's wrappers (compiled, DDP, FSDP) are looked into.
        only: patterns of qualified names, "encoder.*", of the dropouts to take. All without it.
        recurrent: take LSTM, GRU and RNN with `dropout` too. Their noise becomes another one: a mask for each sequence,
            the same at every step, on the input of every layer, the first included.

    Returns:
        a report: `.changed`, `.left` with reasons, `.already`, `.revert()`; print it.

    Raises:
        TypeError: no module, or one of TorchScript.
        ValueError: the model itself is the dropout; a pattern in `only` that matches none.
        RuntimeError: the model is in an active stream.

    Cost: none at a call; the modules that go are kept for `revert`. It does not see functional calls (see `inspect`).

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1))
    >>> print(convert(model))
    path  was               is                 p    note
    1     torch.nn.Dropout  thinned.nn.Dropout  0.1
    >>> convert(model)
    <Conversion: 0 changed, 0 left, 1 already thinned's>
    """
    _check_model("convert", model)
    found = list(_dropouts(model, recurrent))
    names = {name for place in found for name in place.names}
    already = [name for name, module in named_modules(model) if hasattr(module, "_noises")]
    if only is not None:
        patterns = [only] if isinstance(only, str) else list(only)
        _check_patterns(patterns, [*names, *already])
        found = [place for place in found if _matches(patterns, place.names)]
        already = [name for name in already if _matches(patterns, [name])]
    changed, layers, left = [], [], []
    for place in found:
        layer = _built(place)
        if isinstance(layer, Left):
            left.append(layer)
            continue
        layers.append((place, layer))
        changed.append(_change(place, layer))
    for place, layer in layers:  # all or, where something above raised, none
        for parent, name in place.seats:
            parent._modules[name] = layer
    return Conversion(tuple(changed), tuple(left), tuple(already), model, tuple(layer for _, layer in layers))


def revert(model: Module) -> Conversion:
    """Put the modules back whose places `convert` gave to ours: the very same objects, set as they were.

    Their mode, parameters and hooks are those of now: a model in eval mode stays in eval mode. Rates assigned to our
    layers since are not carried over. A copy of a converted model has copies of the modules to go back to.

    Returns:
        a report as of `convert`, the other way round; without changes if there was nothing to put back.

    Raises:
        TypeError: no module. RuntimeError: the model is in an active stream.

    >>> dropout = torch.nn.Dropout(0.1)
    >>> model = torch.nn.Sequential(dropout)
    >>> _ = convert(model)
    >>> revert(model), model[0] is dropout
    (<Conversion: 1 changed, 0 left, 0 already thinned's>, True)
    """
    return _put_back(model, None)


class _Place(NamedTuple):
    """A dropout: its names, the parents that hold it and what they call it, and what takes its place, or why not."""

    names: list[str]
    module: Module
    seats: list[tuple[Module, str]]
    swap: Swap | str


def _put_back(model: Module, layers: Iterable[Module] | None) -> Conversion:
    _check_model("revert", model)
    wanted = None if layers is None else {id(layer) for layer in layers}
    changed = []
    for names, layer, seats in _seats(model):
        if wanted is not None and id(layer) not in wanted:
            continue
        module = original(layer)
        if module is not None:
            for parent, name in seats:
                parent._modules[name] = module
            changed.append(Change(names[0], _title(layer), _title(module), rate_of(module) or 0.0))
    return Conversion(tuple(changed))


def _dropouts(model: Module, recurrent: bool) -> Iterator[_Place]:
    for names, module, seats in _seats(model):
        if isinstance(module, torch.jit.ScriptModule):
            if "drop" in module.original_name.lower():
                yield _Place(names, module, seats, "compiled by TorchScript: convert the model before that")
            continue
        found = swap(module, recurrent)
        if found is None:
            continue
        if not isinstance(found, str) and any(name == "_orig_mod" for _, name in seats):
            found = "compiled on its own by torch.compile: convert it before that"
        if not isinstance(found, str) and not seats:
            kind = type(module).__name__
            raise ValueError(
                f"`convert`: `model` must hold its dropouts as submodules, to be replaced in place. Got a {kind} itself. "
                f"Use thinned.nn.{swap_name(found)} instead of it, or convert torch.nn.Sequential(model)."
            )
        yield _Place(names, module, seats, found)
    for name, module in _hidden(model):
        if swap(module, True) is not None:
            yield _Place([name], module, [], "kept in a plain attribute or list, where torch sees no module")
