"""Streams: while one is active, the noise of a model is a function of (seed, site, step) and global position alone."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import torch
from torch import Tensor
from torch.nn.parallel import DataParallel
from torch.utils.hooks import RemovableHandle

from ...forked import in_child
from ...frameworks import refuse_other_frameworks
from ...noise import UINT64, VERSION, check, fold_in
from ...ops import placed
from ...ops.fold import fold_number, fold_numbers
from ...ops.philox import signed
from ..names import Module, named_modules, site_number, sites, unreached, unwrapped
from ..site import stream_attribute
from . import segment
from .division import Division, equal_part, named_rows
from .recompute import Ledger
from .saved import put_in_state_dict
from .site_keys import SiteKeys, integers

_active: list[Stream] = []


class Stream:
    """A model's noise by (seed, site, step). `stream` makes one; see there."""

    def __init__(
        self,
        model: Module,
        seed: int,
        *,
        part: tuple[int, int] | None = None,
        interleaved: bool = False,
        in_state_dict: bool = False,
    ) -> None:
        refuse_other_frameworks("stream", model)
        self.model = model
        self._seed, self._steps = int(check(UINT64, "stream", "seed", seed)), 0
        self._division = Division(() if part is None else (equal_part("stream", *part, 0, interleaved),))
        self._in_state_dict = in_state_dict
        self._ledger = Ledger()
        self._sites: list[SiteKeys] = []
        self._taken: list[tuple[Module, str]] = []
        self._hooks: list[RemovableHandle] = []
        self._leave: Callable[[], None] = _nothing

    @property
    def seed(self) -> int:
        return self._seed

    @property
    def steps(self) -> int:
        """How many steps are over: the number of the present one."""
        return self._steps

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites while the stream is active, "" for calls that belong to no module."""
        return tuple(site.name for site in self._sites)

    def key(self, site: str, call: int = 0) -> int:
        """The key that a site has in this step: `fold_in(fold_in(seed, site), step)`.

        In a site's further calls of one step (`call` = 1, 2, ...) it is `fold_in(that, call)`.
        """
        key = fold_in(fold_in(self._seed, site_number(site)), self._steps)
        return fold_in(key, call) if call else key

    def step(self) -> None:
        """Go on to the next step, in which every site has another key. Call it when the optimiser has stepped."""
        self._go_to(self._seed, self._steps + 1)

    @contextmanager
    def part(self, index: int, count: int, *, dim: int = 0, interleaved: bool = False) -> Iterator[None]:
        """Say that inputs are part `index` of `count` equal parts of the batch: a microbatch, or a rank's share.

        Parts nest: inside, the whole is the part that was said outside. Every part of a step counts the calls of a site
        from where the part outside had got to.

        Arguments:
            index, count: which part, 0 to `count - 1`, of how many.
            dim: the axis that was split; 0 is the batch, which each layer knows by itself where it has another place.
            interleaved: the part has every `count`-th row from `index` on, as torch's DistributedSampler deals them
                out, instead of a run of neighbours.

        Raises:
            TypeError, ValueError: a number that is no such part.
        """
        with self._division.within(equal_part("part", index, count, dim, interleaved)):
            yield

    @contextmanager
    def rows(self, rows: range, total: int, *, dim: int = 0) -> Iterator[None]:
        """Say which rows of the batch inputs are: `rows(range(48, 50), 50)` for the last two of 50. See `part`.

        Arguments:
            rows: the rows, by their numbers in the whole; with a positive step.
            total: how many rows the whole has.
            dim: as in `part`.

        Raises:
            TypeError, ValueError: no such rows. Later, from a layer, if its input has another number of rows.
        """
        with self._division.within(named_rows(rows, total, dim)):
            yield

    def state_dict(self) -> dict[str, int]:
        """All that another process needs to go on from here: seed, step and the version of the noise."""
        return {"seed": self._seed, "step": self._steps, "version": VERSION}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to the seed and the step of a `state_dict`.

        Raises:
            ValueError: a `state_dict` of another version of the noise, or none at all.
        """
        missing = {"seed", "step", "version"} - set(state)
        if missing:
            raise ValueError(
                f"`stream`: `state` must have seed, step and version. Got none of {', '.join(sorted(missing))}. Pass "
                "what state_dict() gave."
            )
        if state["version"] != VERSION:
            raise ValueError(
                f"`stream`: `state` must be of noise version {VERSION}. Got {state['version']!r}. Use the thinned that "
                "wrote it: its masks are others."
            )
        seed, step = (check(UINT64, "stream", name, state[name]) for name in ("seed", "step"))
        self._go_to(int(seed), int(step))

    def __enter__(self) -> Self:
        segment.require()
        found = list(sites(self.model))
        self._refuse(found)
        try:
            self._begin(found)
            return self
        except BaseException:
            self._end()
            raise

    def _begin(self, found: list[tuple[str, Module, str]]) -> None:
        names = list(dict.fromkeys(("", *(name for name, _, _ in found))))
        self._roots = _roots(self._seed, names)
        self._sites = [SiteKeys(name, self._ledger, *key) for name, key in zip(names, self._keys(), strict=True)]
        by_name = dict(zip(names, self._sites, strict=True))
        self._taken = [(layer, stream_attribute(noise)) for _, layer, noise in found]
        for name, layer, noise in found:
            layer.__dict__[stream_attribute(noise)] = by_name[name]
        self._division.begin(self._sites)
        if self._in_state_dict:
            self._hooks = put_in_state_dict(unwrapped(self.model), self)
        self._thread = threading.get_ident()
        _active.append(self)
        self._leave = placed.enter(self._sites[0])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end()
        finally:
            self._end()  # what an interrupt has left
        if kind is None and self._ledger.pending:
            warnings.warn(
                "`stream`: a checkpointed forward pass must have its backward pass inside the `with`. One has not had "
                "it: it would be recomputed with other masks. Call backward() before the stream is left.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _end(self) -> None:
        """Leave the model and the thread as they were; a second call does what an interrupt of the first has left."""
        self._leave()
        for layer, attribute in self._taken:
            layer.__dict__.pop(attribute, None)
        for site in self._sites:
            site.close()
        for hook in self._hooks:
            hook.remove()
        self._taken, self._sites, self._hooks = [], [], []
        self._division.begin([])
        _active[:] = [other for other in _active if other is not self]

    def _refuse(self, found: list[tuple[str, Module, str]]) -> None:
        """Look for what would not work, or not as meant."""
        if self in _active:
            raise RuntimeError("`stream`: a stream must be entered once at a time. Got an active one. Make another.")
        for name, layer, noise in found:
            if layer.__dict__.get(stream_attribute(noise)) is not None:
                raise RuntimeError(
                    f"`stream`: a layer must be in one stream at a time. Got {name!r}, which is in an active one. "
                    "Leave that first, or make one stream of the model that holds both."
                )
        for name, module in named_modules(self.model):
            if isinstance(module, DataParallel):
                raise ValueError(
                    f"`stream`: a model must not be split by DataParallel, whose threads would race for the keys. Got "
                    f"one at {name!r}. Use DistributedDataParallel."
                )
        others = unreached(self.model)
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        if others and not found:
            raise ValueError(
                f"`stream`: a model must have layers of thinned.nn, or calls of thinned.nn.functional. Got one whose "
                f"noise is torch's: {shown}. Replace them by thinned.nn's layers of the same name."
            )
        if others:
            warnings.warn(
                f"`stream`: some noise is torch's own, which no stream reaches, so it comes from torch's generator: "
                f"{shown}. Replace those layers by thinned.nn's.",
                UserWarning,
                stacklevel=4,
            )

    def _keys(self) -> Iterator[tuple[int, Tensor]]:
        """Every site's key in the present step, as a number and as a tensor."""
        keys = fold_numbers(self._roots, self._steps)
        return zip(keys, integers([signed(key) for key in keys]).unbind(), strict=True)

    def _go_to(self, seed: int, step: int) -> None:
        check(UINT64, "stream", "step", step)
        if seed != self._seed and self._sites:
            self._roots = _roots(seed, self.sites)
        self._seed, self._steps = seed, step
        if self._sites:
            for site, key in zip(self._sites, self._keys(), strict=True):
                site.begin(*key)
            self._division.begin(self._sites)


@in_child
def _own_alone() -> None:
    """A forked child leaves the streams of threads that it does not have."""
    for other in [*_active]:
        if other._thread != threading.get_ident():
            other._end()


def _nothing() -> None:
    pass


def _roots(seed: int, names: Iterable[str]) -> list[int]:
    """Every site's key, before a step is folded in."""
    return [fold_number(seed, site_number(name)) for name in names]


def stream(
    model: torch.nn.Module,
    seed: int,
    *,
    part: tuple[int, int] | None = None,
    interleaved: bool = False,
    in_state_dict: bool = False,
) -> Stream:
    """Make a model's noise a function of (seed, site, step) and global position, and of nothing else.

    In the `with`, the key of a layer is `fold_in(fold_in(seed, site), step)`, where site is a hash of the layer's name
    in `model`; `step()` goes on to the next. So masks do not depend on what ran before, on compilation, recomputation,
    the device, or how a batch is divided among microbatches and processes; and training goes on where it was
    interrupted. `docs/guides/streams.md` has the details.

    Arguments:
        model: whose layers get their keys from the stream. Calls of functions and of other layers, made without a key
            while the stream is the innermost active one, get theirs too, in the order of the calls.
        seed: a 64-bit number; runs that differ in it alone have independent masks.
        part: `(rank, world)`: inputs in this process are part `rank` of `world` equal parts of the batch.
        interleaved: the parts are dealt out row by row, as torch's DistributedSampler does.
        in_state_dict: keep seed and step in `model.state_dict()` too, while the stream is active.

    Raises:
        TypeError, ValueError: a bad `seed` or `part`. On entering: a model whose noise is torch's own.
        RuntimeError: on entering: a layer is in an active stream already. In a backward pass: a call repeats one of
            the forward pass, and nothing tells which.

    Warns: on entering, if some noise is torch's; on leaving, if a checkpoint still waits for its backward pass.

    Cost: a few microseconds a call and a step. Leaving restores the model.

    >>> import thinned.nn
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), thinned.nn.Dropout(0.5))
    >>> with thinned.stream(model, seed=1) as s:
    ...     for x in torch.ones(3, 2, 4):
    ...         y = model(x)  # loss, backward, optimiser
    ...         s.step()
    >>> s.state_dict()
    {'seed': 1, 'step': 3, 'version': 1}
    """
    return Stream(model, seed, part=part, interleaved=interleaved, in_state_dict=in_state_dict)
