"""`thinned.Predictor`: `predict` for many calls, with one inspection of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..forked import LongLock
from ..model.inspect.inspect import glance
from ..model.inspect.inspection import Inspection
from ..model.watch.recorder import tensors_of
from ..model.watch.stand_in import StandIn, stood_in
from ..model.watch.trace import Trace
from ..model.watch.untouched import check_module, untouched
from ..noise import UINT64, check
from ..ops.fold import fold_in, fold_number
from ..ops.philox import signed
from .answer import OUTPUT, TASK, AnswerTensor, Meaning, Select, last_functions
from .batches import batch_size, batches
from .live import Rates, find, overridden
from .prediction import Prediction, joined
from .refused import check_device, check_flag, check_numbers_are_there, check_sites, checked_levels, checked_memory
from .runner import Runner, rows
from .sampler import Misplaced
from .state import state
from .summary import ALIVE, summary

Module = torch.nn.Module

LEVELS = (0.05, 0.5, 0.95)
MEMORY = 2**28
# So many bytes of samples run together, to stay in the CPU's caches. Up to four samples run together even above it.
CACHE = 2**22
KINDS = 256  # how many `Look`s a predictor holds
_NOT_PICKLED = ("_looks", "_state", "_copy", "_lock")


class Look(NamedTuple):
    """The result of one inspection of a model, for arguments of one kind (`kind_of`)."""

    runner: Runner
    entry_bytes: float  # the memory that a pass needs for one entry of the input
    answer_bytes: float  # the size of the answer to one row
    answers: AnswerTensor
    last: set[str]  # the functions that made the answer


class Predictor:
    """Monte-Carlo prediction for many calls one after another, such as those of a service.

    `Predictor(model, n, ...)(x)` is `predict(model, x, n, ...)`, number for number. `predict` inspects most models at
    each call, in about six passes over two rows. A predictor inspects any at the first call, and again in two cases:
    when a module has changed, or a number, flag or text in a module, its hooks or its configuration; and when the model
    is called with rows of another shape, or with other flags, numbers or texts. No other change is noticed. If noise
    depends on a global variable or on the values in the rows, and these change, make a new predictor.

    Arguments: those of `predict`. Of a call: `x`, `inputs` and `progress` as in `predict`, and `first_row`, the number
        of x's first row in the whole data. With first_row=64, rows 64 to 127 get the masks that they get in one call
        with rows 0 to 63.

    Raises: as `predict`.

    Cost: as `predict`, without the inspection. Threads may share a predictor: its calls wait for one another. Other
        threads may use, train and inspect the model, and draw random numbers, meanwhile: a copy of the model runs,
        which shares its parameters.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
    >>> ask, x = Predictor(net, n=20, seed=1), torch.randn(3, 2)
    >>> torch.allclose(ask(x[2:], first_row=2).mean, ask(x).mean[2:])
    True
    """

    def __init__(
        self,
        model: Module,
        n: int = 50,
        *,
        seed: int = 0,
        task: str = "regression",
        class_axis: int | None = None,
        temperature: float = 1.0,
        sites: str | Sequence[str] | None = None,
        p: Rates = None,
        shared_masks: bool = False,
        samples: bool = False,
        levels: Sequence[float] = LEVELS,
        memory: int = MEMORY,
        output: str | Callable[[Any], Tensor] | None = None,
        select: Select = None,
        device: torch.device | str | None = None,
    ) -> None:
        check_module("predict", model)
        check(TASK, "predict", "task", task)
        check(UINT64, "predict", "seed", seed)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"`predict`: `n` must be an integer, 1 or more. Got {n!r}. The default is 50.")
        if isinstance(temperature, str | bool) or not 0.0 < temperature < float("inf"):
            raise ValueError(
                f"`predict`: `temperature` must be a finite number above 0. Got {temperature!r}. Pass 1.0."
            )
        for name, value, plain in (("class_axis", class_axis, None), ("temperature", temperature, 1.0)):
            if task == "regression" and value != plain:
                does = "divides logits" if name == "temperature" else "is of classes"
                raise ValueError(
                    f"`predict`: `{name}` {does}. Got {value!r} for task='regression'. Pass task='classification'."
                )
        if class_axis is not None and (isinstance(class_axis, bool) or not isinstance(class_axis, int)):
            raise TypeError(f"`predict`: `class_axis` must be an integer. Got {class_axis!r}. Pass 1 or -1.")
        if callable(output):
            if select is not None:
                raise ValueError(
                    "`predict`: a function takes the tensor from the answer once. Got one as `output` and `select="
                    f"{select!r}`. Pass it as select=, and output='probabilities' or nothing."
                )
            output, select = None, output
        if output is not None:
            check(OUTPUT, "predict", "output", output)
            if task == "regression":
                raise ValueError(
                    f"`predict`: `output` says what the answers are for classes. Got {output!r} for task='regression'. "
                    "Pass task='classification' or 'multilabel'."
                )
        self._levels = checked_levels(levels)
        check_device(device)
        check_sites(sites)
        for name, flag in (("shared_masks", shared_masks), ("samples", samples)):
            check_flag(name, flag)
        keys = [signed(fold_number(seed, sample)) for sample in range(n)]
        self._keys = torch.tensor(keys, dtype=torch.int64, device="cpu")
        self._model, self._seed, self._temperature = model, seed, temperature
        self._meaning, self._select = Meaning("predict", task, output, class_axis), select
        self._as_logits = False  # whether the statistics are of logits, as `calibrate` needs them
        self._sites, self._p, self._alike, self._keep = sites, p, shared_masks, samples
        self._memory, self._device = checked_memory(memory), device
        self._start()

    def _start(self) -> None:
        self._looks: dict[Any, Look] = {}
        self._state: list[Any] = []  # the `state` of the model at the time of the looks
        self._copy: StandIn | None = None  # the copy of the model that runs
        self._lock = LongLock(self._forget)

    def _forget(self) -> None:
        """Look at the model anew: what is known of it may be half written."""
        self._looks, self._state, self._copy = {}, [], None

    @property
    def way(self) -> Any:
        """The arguments on which a look depends, as a key of a dictionary; None where they can't be one."""
        p, sites = self._p, self._sites
        rates = tuple(p.items()) if isinstance(p, Mapping) else (("", p),)
        if not all(rate is None or type(rate) in (int, float) for _, rate in rates) or callable(self._select):
            return None
        names = sites if sites is None or isinstance(sites, str) else tuple(sites)
        return type(p), rates, names, type(self._select), self._select, self._alike, str(self._device)

    @property
    def found(self) -> tuple[dict[Any, Look], list[Any], StandIn | None]:
        """What looks have found, the state of the model then, and its copy."""
        return self._looks, self._state, self._copy

    def begin_with(self, looks: dict[Any, Look], state: list[Any], copy: StandIn) -> None:
        """Begin with what another predictor has found."""
        self._looks, self._state, self._copy = looks, state, copy

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _NOT_PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __call__(
        self,
        x: Any,
        *,
        first_row: int = 0,
        inputs: Callable[[Any], Any] | None = None,
        progress: bool | None = None,
    ) -> Prediction:
        check(UINT64, "predict", "first_row", first_row)
        check_flag("progress", progress, absent=True)
        parts: list[Prediction] = []
        with self._lock:
            check_module("predict", self._model)
            check_numbers_are_there(self._model)
            now = state(self._model)
            if self._state != now:
                self._looks, self._state, self._copy = {}, now, None
            with stood_in("predict", self._model, self._copy) as (self._copy, noise):
                model = self._copy.module
                with overridden(model, self._p):
                    for args, kwargs in batches(model, x, inputs, self._device, progress, noise):
                        size = batch_size(args, kwargs)
                        parts.extend(self._batch(model, args, kwargs, size, first_row))
                        first_row += size
            self._state = state(self._model)
        if not parts:
            raise ValueError("`predict`: `x` must have rows. Got a DataLoader without batches.")
        return joined(parts)

    def _batch(self, model: Module, args: Any, kwargs: Any, size: int, first_row: int) -> list[Prediction]:
        """Predict a batch, in chunks of rows that fit into the memory allowed."""
        kind = kind_of((args, kwargs), size)
        if kind not in self._looks:
            if len(self._looks) >= KINDS:
                self._looks.clear()
            self._looks[kind] = self._looked(model, args, kwargs, size)
        look = self._looks[kind]
        runner = look.runner
        runner.forget()
        with runner.entered():
            runner.probe(args, kwargs, size)
            self._check_quiet(look, args, kwargs, size)
            try:
                return list(self._chunks(look, args, kwargs, size, first_row))
            except Misplaced:
                runner.take_whole()
                return list(self._chunks(look, args, kwargs, size, first_row))
            finally:
                runner.forget()

    def _chunks(self, look: Look, args: Any, kwargs: Any, size: int, first_row: int) -> Iterator[Prediction]:
        runner, keys = look.runner, self._keys
        row_bytes = look.entry_bytes * _entries(args, kwargs) / size
        # Room for four samples that run together, and for the answers of all samples, which are held and sorted.
        row_needs = max(1.0, row_bytes * min(4, len(keys)), ALIVE * look.answer_bytes * len(keys))
        at_once = max(1, min(size, int(self._memory / row_needs)))
        if runner.whole:
            at_once = size
            self._check_whole()
            keys = fold_in(keys, first_row) if first_row else keys  # a whole batch has no row numbers
        fitting = int(min(self._memory, CACHE) / max(1.0, row_bytes * at_once))
        together = max(1, min(len(keys), max(fitting, min(4, int(self._memory / max(1.0, row_bytes * at_once))))))
        for start in range(0, size, at_once):
            picked = slice(start, start + at_once)
            some = (args, kwargs) if at_once == size else rows(args, kwargs, size, picked)
            runner.forget()
            drawn: list[Tensor] = []
            for some_keys in keys.split(together):
                raw = runner.samples(*some, some_keys, first_row + start)
                axis = self._meaning.axis(raw.shape[1:], look.answers.named, getattr(self._model, "config", None))
                if not drawn:
                    self._meaning.check(raw, axis, look.last)
                drawn.append(self._values(raw, axis))
            yield summary(
                torch.cat(drawn),
                self._levels,
                task="regression" if self._as_logits else self._meaning.task,
                class_axis=axis,
                keep=self._keep,
                n=len(keys),
                seed=self._seed,
                places=runner.live.names,
                engine=runner.engine,
            )

    def _check_quiet(self, look: Look, args: Any, kwargs: Any, size: int) -> None:
        """Refuse probabilities that noise hides in the samples: dropout behind a softmax."""
        if self._meaning.task != "classification" or self._meaning.output == "probabilities":
            return
        raw = look.runner.asked_quietly(args, kwargs, size)[None]
        axis = self._meaning.axis(raw.shape[1:], look.answers.named, getattr(self._model, "config", None))
        if raw.ndim > axis + 1:
            self._meaning.check(raw, axis, set())

    def _values(self, raw: Tensor, axis: int) -> Tensor:
        if self._as_logits:
            return self._meaning.logits(raw, axis)
        return self._meaning.values(raw, axis, self._temperature)

    def _looked(self, model: Module, args: Any, kwargs: Any, size: int) -> Look:
        """Inspect the model on two rows, or on all rows if it can't be called with two."""
        few = rows(args, kwargs, size, [0, min(size, 2) - 1])
        try:
            inspection = _glanced(model, *few)
        except Exception:
            few = rows(args, kwargs, -1, None, copied=True)
            inspection = _glanced(model, *few)
        live = find(inspection, self._sites, self._p)
        # `_bytes` is a careful estimate, because a row can't be divided.
        answers = (inspection.eval.calls[index] for index in inspection.eval.outputs if index >= 0)
        taken = AnswerTensor("predict", self._select)
        return Look(
            Runner(model, live, taken, self._alike, as_evaluated=taken.by_default),
            entry_bytes=_bytes(inspection.eval) / max(1, _entries(*few)),
            answer_bytes=4.0 * sum(torch.Size(call.shape).numel() for call in answers) / batch_size(*few),
            answers=taken,
            last=last_functions(inspection.eval),
        )

    def _check_whole(self) -> None:
        if self._alike:
            raise ValueError(
                "`predict`: `shared_masks` is for rows that stand alone. Got a model whose answer to a row depends on "
                "the rows beside it, or whose rows are not on axis 0. Leave it out: masks are those of the whole input."
            )


def _glanced(model: Module, args: Any, kwargs: Any) -> Inspection:
    """Inspect a copy of the copy, since passes in training mode write to buffers."""
    stand_in = StandIn(model)
    with nullcontext() if stand_in.copied else untouched("predict", model, generators=False):
        return glance(stand_in.module, args, kwargs)


def logit_samples(
    model: Module,
    x: Any,
    n: int,
    *,
    inputs: Callable[[Any], Any] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Prediction:
    """The statistics of logits: of the model's own, or of those whose softmax or sigmoid its probabilities are.

    Arguments: those of `predict`; `task` is "classification" or "multilabel". A lone logit gets a 0 for the first class
        beside it.
    """
    ask = Predictor(model, n, **options)
    ask._as_logits = True
    return ask(x, inputs=inputs, progress=progress)


def kind_of(value: Any, size: int) -> Any:
    """The shapes of rows, and the numbers, flags, texts and names among a call's arguments: a key for looks."""
    if isinstance(value, Tensor):
        return value.dtype, tuple(value.shape[1:] if value.ndim and value.shape[0] == size else value.shape)
    if isinstance(value, dict):
        return tuple((name, kind_of(inner, size)) for name, inner in value.items())
    if isinstance(value, (tuple, list)):
        return tuple(kind_of(inner, size) for inner in value)
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return type(value), *(kind_of(getattr(value, name, None), size) for name in value.__dataclass_fields__)
    return type(value), value if value is None or isinstance(value, (bool, int, float, str)) else None


def _entries(args: Any, kwargs: Any) -> int:
    """The number of entries in all tensors of an input."""
    return sum(tensor.numel() for tensor in tensors_of((args, kwargs)))


def _bytes(trace: Trace) -> float:
    """An upper estimate of the bytes alive at once in a forward pass: a quarter of what all its calls make."""
    return float(sum(torch.Size(call.shape).numel() * call.dtype.itemsize for call in trace.calls)) / 4
