"""`thinned.predict`: Monte-Carlo dropout on any model, in evaluation mode, by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader

from ..model.inspect import glance
from ..model.trace import Trace, tensors_of
from ..model.untouched import untouched
from ..noise import UINT64, Choice, check
from ..ops.fold import fold_in, fold_number
from ..ops.philox import signed
from .prediction import Prediction, entropy, joined
from .runner import Runner, rows
from .sites import Rates, find, overridden

Module = torch.nn.Module

TASK = Choice(("regression", "classification"))
LEVELS = (0.05, 0.5, 0.95)
ALIVE = 4  # copies of all samples' answers that exist at once while they are summed up
CACHE = 2**22  # bytes of a chunk of samples that are to stay in the caches, where that is four samples or more


def predict(
    model: Module,
    x: Any,
    n: int = 50,
    *,
    seed: int = 0,
    task: str = "regression",
    temperature: float = 1.0,
    sites: str | Sequence[str] | None = None,
    p: Rates = None,
    shared_masks: bool = False,
    samples: bool = False,
    levels: Sequence[float] = LEVELS,
    memory: int = 2**28,
    inputs: Callable[[Any], Any] | None = None,
    output: Callable[[Any], Tensor] | None = None,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> Prediction:
    """Predict with n thinned networks: the mean of their outputs, and how much they differ.

    Only dropout is live. Every place where the model draws noise in training draws it now, by key: dropout modules and
    functions, attention and recurrent layers, DropPath, DropBlock, masks made by hand. All else stays in evaluation
    mode, batch normalisation with its running statistics included, and model, buffers, hooks and random state are
    afterwards what they were, after an exception too.

    `mean = (1/n) sum_t f(x; masks_t)`; with task="classification", f is the softmax of the model's logits.

    Arguments:
        model: any module; the mode that it is in plays no part.
        x: a tensor, a tuple or dict of tensors that the model is called with (rows on axis 0), or a DataLoader, whose
            batches are predicted one after another.
            Rows that depend on one another (the nodes of a graph, time on axis 0) stay in one batch, and masks are that
            batch's; `engine` says so.
        n: how many thinned networks.
        seed: the same seed gives the same networks, whatever the batch size, chunks, device or threads.
        task: "regression": statistics of the outputs as they are; "classification": outputs are logits on axis 1, one
            logit a row stands for two classes.
        temperature: logits are divided by it, as `calibrate` fits it; only for classification.
        sites: patterns of places (`thinned.inspect` names them) that are to draw; the others stay off. All by default.
        p: another rate for the call: one for all places, or a mapping of patterns to rates.
        shared_masks: every sample is one thinned network for all rows, so that samples are functions and rows may be
            taken together. By default each row has masks of its own.
        samples: keep the samples too, n times the memory of the outputs.
        levels: which quantiles over the samples.
        memory: bytes that one chunk of rows and samples may take, about.
        inputs: what of a DataLoader's batch the model is called with: `batch -> x`. By default the batch itself, the
            first of a tuple or list, and of a dict what is not called "labels".
        output: the tensor of the model's answer. By default the answer, its `logits`, or the first of a tuple.
        device: where batches are moved; by default where the model's parameters are.
        progress: a line on stderr while a DataLoader is read; by default if that is a terminal.

    Raises:
        ValueError: nothing is random, a pattern matches nothing, a p that a place can't take, noise that can't be left
            out or drawn by key, or an answer of another form where the model trains.
        TypeError: a model or x of the wrong kind.

    What it does not give: a posterior. The spread is that of the networks that dropout trained, and it can fail to grow
    away from the data (docs/predict.md shows how to test that).

    Cost: the calls before the first noise once a chunk, the rest n times, in one batch where `torch.func.vmap` can.
    Memory does not grow with the data, but for the statistics themselves. Source: Gal and Ghahramani 2016.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
    >>> found = predict(net, torch.ones(3, 2), n=20, seed=1)
    >>> tuple(found.mean.shape), bool((found.std > 0).all())
    ((3, 1), True)
    """
    check(TASK, "predict", "task", task)
    check(UINT64, "predict", "seed", seed)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"`predict`: `n` must be an integer, 1 or more. Got {n!r}. The default is 50.")
    if not 0.0 < temperature < float("inf"):
        raise ValueError(f"`predict`: `temperature` must be a finite number above 0. Got {temperature!r}. Pass 1.0.")
    if task == "regression" and temperature != 1.0:
        raise ValueError(
            f"`predict`: `temperature` divides logits. Got {temperature!r} for task='regression'. Pass "
            "task='classification'."
        )
    wanted = tuple(float(level) for level in levels)
    if not all(0.0 <= level <= 1.0 for level in wanted):
        raise ValueError(f"`predict`: `levels` must be in [0, 1]. Got {levels!r}. Pass (0.05, 0.95) for 90 %.")
    keys = torch.tensor([signed(fold_number(seed, sample)) for sample in range(n)], dtype=torch.int64)
    job = _Job(
        model, keys, seed, task, temperature, sites, p, shared_masks, samples, wanted, memory, output or first_tensor
    )
    with untouched("predict", model), overridden(model, p):
        parts: list[Prediction] = []
        for args, kwargs in _watched(_batches(model, x, inputs, device), x, progress):
            parts.extend(job.batch(args, kwargs))
    if not parts:
        raise ValueError("`predict`: `x` must have rows. Got a DataLoader without batches.")
    return joined(parts)


class _Job:
    """One call of `predict`, batch after batch."""

    def __init__(
        self,
        model: Module,
        keys: Tensor,
        seed: int,
        task: str,
        temperature: float,
        sites: Any,
        p: Rates,
        alike: bool,
        keep: bool,
        levels: tuple[float, ...],
        memory: int,
        output: Callable[[Any], Tensor],
    ) -> None:
        self.model, self.keys, self.seed, self.task = model, keys, seed, task
        self.temperature = temperature
        self.sites, self.p, self.alike, self.keep = sites, p, alike, keep
        self.levels, self.memory, self.output = levels, memory, output
        self.runner: Runner | None = None
        self.first_row = 0

    def batch(self, args: Any, kwargs: Any) -> Iterator[Prediction]:
        """Predict a batch, in chunks of rows that fit."""
        size = batch_size(args, kwargs)
        runner = self.runner = self.runner or self._begun(args, kwargs, size)
        keys = self.keys
        runner.forget()
        with runner.entered():
            runner.probe(args, kwargs, size)
            row_bytes = self.entry_bytes * _entries(args, kwargs) / size
            # Some samples at least pass the model together, and the answers of all are kept and sorted.
            row_needs = max(1.0, row_bytes * min(4, len(keys)), ALIVE * self.answer_bytes * len(keys))
            at_once = max(1, min(size, int(self.memory / row_needs)))
            if runner.whole:
                at_once = size
                self._check_whole()
                keys = fold_in(keys, self.first_row) if self.first_row else keys  # rows have no numbers here
            fitting = int(min(self.memory, CACHE) / max(1.0, row_bytes * at_once))
            together = max(1, min(len(keys), max(fitting, min(4, int(self.memory / max(1.0, row_bytes * at_once))))))
            for start in range(0, size, at_once):
                picked = slice(start, start + at_once)
                some = (args, kwargs) if at_once == size else rows(args, kwargs, size, picked)
                runner.forget()
                drawn = [
                    self._outputs(runner.samples(*some, some_keys, self.first_row + start))
                    for some_keys in keys.split(together)
                ]
                yield self._summary(torch.cat(drawn))
        self.first_row += size

    def _begun(self, args: Any, kwargs: Any, size: int) -> Runner:
        """Where the model draws, seen on two rows, or on all if it can't be called with two."""
        few = rows(args, kwargs, size, [0, min(size, 2) - 1])
        try:
            inspection = glance(self.model, *few)
        except Exception:
            few = rows(args, kwargs, -1, None, copied=True)
            inspection = glance(self.model, *few)
        live = find(inspection, self.sites, self.p)
        # A quarter of what all calls of a pass make is alive at once, to be careful; a row is never split.
        self.entry_bytes = _bytes(inspection.eval) / max(1, _entries(*few))
        answers = (inspection.eval.calls[index] for index in inspection.eval.outputs if index >= 0)
        self.answer_bytes = 4.0 * sum(torch.Size(call.shape).numel() for call in answers) / batch_size(*few)
        return Runner(self.model, live, self.output, self.alike, as_evaluated=self.output is first_tensor)

    def _check_whole(self) -> None:
        if self.alike:
            raise ValueError(
                "`predict`: `shared_masks` is for rows that stand alone. Got a model whose answer to a row depends on "
                "the rows beside it, or whose rows are not on axis 0. Leave it out: masks are those of the whole input."
            )

    def _outputs(self, raw: Tensor) -> Tensor:
        raw = raw.float()
        if self.task == "regression":
            return raw
        raw = raw / self.temperature
        if raw.ndim < 3:
            raw = raw.reshape(*raw.shape[:2], 1)
        if raw.shape[2] == 1:  # one logit: the second class's
            second = raw.sigmoid()
            return torch.cat((1.0 - second, second), 2)
        return raw.softmax(2)

    def _summary(self, drawn: Tensor) -> Prediction:
        classes = self.task == "classification"
        votes = None
        if classes:
            votes = torch.nn.functional.one_hot(drawn.argmax(2), drawn.shape[2]).sum(0).movedim(-1, 1).float().cpu()
        assert self.runner is not None
        levels = torch.tensor(self.levels, dtype=drawn.dtype, device=drawn.device)
        mean = drawn.mean(0)
        # torch's own std over the first axis takes ten times as long.
        variance = (drawn - mean).square_().sum(0) / max(1, len(drawn) - 1)
        return Prediction(
            mean=mean.cpu(),
            std=variance.sqrt().cpu(),
            quantiles=_quantiles(drawn, levels).cpu(),
            levels=self.levels,
            n=len(self.keys),
            seed=self.seed,
            task=self.task,
            places=tuple(place.name for place in self.runner.live.places),
            engine=self.runner.engine,
            samples=drawn.cpu() if self.keep else None,
            sampled_entropy=entropy(drawn, 2).mean(0).cpu() if classes else None,
            votes=votes,
        )


def _quantiles(drawn: Tensor, levels: Tensor) -> Tensor:
    """Linear between the two nearest samples; torch.quantile refuses more than 16 million numbers."""
    if drawn.device.type == "cpu":  # by NumPy, whose sort takes a tenth of torch's time
        ordered = torch.from_numpy(np.sort(drawn.numpy(), 0))
    else:
        ordered = drawn.sort(0).values
    at = levels * (len(drawn) - 1)
    low = at.floor().long()
    high = (low + 1).clamp_max(len(drawn) - 1)
    weight = (at - low).reshape(-1, *(1,) * (drawn.ndim - 1))
    return ordered[low].lerp(ordered[high], weight.expand_as(ordered[low]))


def batch_size(args: Any, kwargs: Any) -> int:
    """How many rows the first tensor has."""
    for tensor in tensors_of((args, kwargs)):
        if tensor.ndim and tensor.shape[0]:
            return int(tensor.shape[0])
    raise TypeError("`predict`: `x` must hold a tensor with rows on axis 0. Got none. Pass x[None] for a single row.")


def first_tensor(answer: Any) -> Tensor:
    """The model's answer itself, its logits, or the first tensor in it."""
    if isinstance(answer, Tensor):
        return answer
    logits = answer.get("logits") if isinstance(answer, Mapping) else getattr(answer, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    for tensor in tensors_of(answer):
        return tensor
    raise TypeError(
        f"`predict`: the model must answer with a tensor. Got {type(answer).__name__}. Pass output=, which takes the "
        "answer and gives its tensor."
    )


def _entries(args: Any, kwargs: Any) -> int:
    """How large an input is."""
    return sum(tensor.numel() for tensor in tensors_of((args, kwargs)))


def _bytes(trace: Trace) -> float:
    """What a forward pass makes, in bytes: more than is ever alive at once."""
    return float(sum(torch.Size(call.shape).numel() * call.dtype.itemsize for call in trace.calls)) / 4


def _batches(model: Module, x: Any, inputs: Callable[[Any], Any] | None, device: Any) -> Iterator[tuple[Any, Any]]:
    where = device
    if where is None:
        where = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    if isinstance(x, DataLoader):
        for batch in x:
            yield _arguments(_moved((inputs or inputs_of)(batch), where))
    elif isinstance(x, (Tensor, tuple, list, Mapping)):
        yield _arguments(_moved(x if inputs is None else inputs(x), where))
    else:
        raise TypeError(
            f"`predict`: `x` must be a tensor, a tuple or dict of tensors, or a DataLoader. Got {type(x).__name__}. "
            "For an array pass torch.as_tensor(x, dtype=torch.float32)."
        )


def inputs_of(batch: Any) -> Any:
    """What of a batch the model is called with."""
    if isinstance(batch, Mapping):
        return {name: value for name, value in batch.items() if name not in ("label", "labels")}
    return batch[0] if isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence) else batch


def _arguments(x: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(x, Tensor):
        return (x,), {}
    return ((), dict(x)) if isinstance(x, Mapping) else (tuple(x), {})


def _moved(value: Any, device: Any) -> Any:
    if isinstance(value, PackedSequence):
        raise TypeError(
            "`predict`: `x` must have rows on axis 0. Got a PackedSequence. Pass padded sequences and their lengths, "
            "and let the model's forward pack them."
        )
    if isinstance(value, Tensor):
        return value if device is None else value.to(device)
    if isinstance(value, Mapping):
        return {name: _moved(inner, device) for name, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_moved(inner, device) for inner in value]
    return value


def _watched(batches: Iterator[Any], x: Any, progress: bool | None) -> Iterable[Any]:
    """The batches, counted on stderr."""
    import sys

    if not isinstance(x, DataLoader) or not (sys.stderr.isatty() if progress is None else progress):
        return batches

    def counted() -> Iterator[Any]:
        total = len(x) if hasattr(x.dataset, "__len__") else None
        for number, batch in enumerate(batches, 1):
            print(f"\rpredict: batch {number}" + (f" of {total}" if total else ""), end="", file=sys.stderr)  # noqa: T201
            yield batch
        print(file=sys.stderr)  # noqa: T201

    return counted()
