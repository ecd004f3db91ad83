"""Runs a model in evaluation mode with its noise on, for many samples of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor

from ..model.watch.callsite import outermost
from ..model.watch.draws import Draw, DrawMode
from ..model.watch.private_noise import PrivateNoise, current
from ..model.watch.recorder import tensors_of
from .batches import batch_size
from .live import Live
from .rows import Layout, in_order, independent, layout, together
from .sampler import IDLE, LOW, Misplaced, Number, Sampler, Unrepeated

Module = torch.nn.Module


class Runner:
    """Runs one model on arguments of one kind, for one sample or for many, with noise by the samples' keys.

    The model is a copy that nothing else uses, and whoever calls is in `stood_in` or `unnoticed`.

    `with runner.entered():` is around all runs. There, `probe` first finds where rows lie, and then `samples` gives the
    outputs.
    """

    def __init__(
        self, model: Module, live: Live, output: Callable[[Any], Tensor], alike: bool, *, as_evaluated: bool = False
    ) -> None:
        self.model, self.live, self._output = model, live, output
        self.sampler = Sampler(model, live.calls, live.told, live.flipped, {}, alike)
        for name in (live.flipped | live.trial) - self.sampler.running.modules.keys():
            raise ValueError(
                f"`predict`: `model` must have its modules. Got {name!r}, which its first forward makes. Run the model "
                "once first."
            )
        self._as_evaluated = as_evaluated  # whether the answer must have the same form as in evaluation
        self._probed_before = False
        self.whole = False  # whether the batch is one unit, because rows depend on one another
        self._watched = False  # whether a pass has been watched for draws that are not by key
        self._writes = False  # whether the model writes into its arguments
        self.quiet: Tensor | None = None  # the answer to two rows without noise, once `probe` has run
        self.by_python = any(place.kind == "random" for place in live.places)
        # Why samples run one by one; "" as long as they run as one batch. Calls before the first noise may depend on
        # `random` or `numpy.random`, so then their results are not remembered.
        self.why_loop = "random numbers of Python or NumPy" if self.by_python else ""
        self.remembers = not self.by_python
        _in_python(model, live)

    @property
    def engine(self) -> str:
        """How samples run."""
        how = f"loop: {self.why_loop}" if self.why_loop else "vmap"
        return f"{how}; rows depend on one another, and masks are those of the whole batch" if self.whole else how

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A context manager: the model in evaluation mode, but for the modules that draw only in training mode."""
        modules = self.sampler.running.modules
        self.model.eval()
        for name in self.live.flipped | self.live.trial:
            modules[name].training = True
        with (
            torch.inference_mode(False),  # tensors of inference mode do not count writes
            torch.no_grad(),
            _noise().of_python() if self.by_python else nullcontext(),
            self.sampler.running.followed(),
        ):
            yield

    def once(self, args: Any, kwargs: Any, key: Tensor) -> Tensor:
        """The output of the sample with this key."""
        answer = self._answer(args, kwargs, key, self._output)
        return self.sampler.current(answer) if isinstance(answer, Tensor) else answer

    @outermost
    def _answer(self, args: Any, kwargs: Any, key: Tensor, output: Callable[[Any], Any] = lambda answer: answer) -> Any:
        if self._writes:
            args, kwargs = rows(args, kwargs, -1, None, copied=True)
        self.sampler.begin(key)
        if self.by_python:
            _noise().python.seed(int(key))
        with self.sampler:
            answer = output(self.model(*args, **kwargs))
        self.sampler.end()
        return answer

    def probe(self, args: Any, kwargs: Any, batch: int) -> None:
        """Find where rows lie at every noisy call. Once is enough, as all arguments of a runner are of one kind."""
        if not self._probed_before:
            self.sampler.rows = None
            self.sampler.layouts, self.whole = self._probed(args, kwargs, batch)
            self._probed_before = True

    def asked_quietly(self, args: Any, kwargs: Any, batch: int) -> Tensor:
        """The answer to two rows without noise."""
        if self.quiet is None:
            self.sampler.rows = None
            self.quiet = self._output(self._seen(*rows(args, kwargs, batch, [0, 0]))[1])
        return self.quiet

    @property
    def as_usual(self) -> bool:
        """Whether rows stand alone, lie whole on an axis, and ran as one batch: so far, all that a runner expects."""
        live, sampler = self.live, self.sampler
        plain = not (live.told or live.trial or live.aside)
        alone = not self.whole and all(found.each == 1 for found in sampler.layouts.values())
        return plain and alone and self._probed_before and self.remembers and not self.why_loop and not self._writes

    def take_whole(self) -> None:
        """From now on treat a batch as one unit, because a pass had rows where the layouts don't have them."""
        self.sampler.layouts, self.whole, self.sampler.misplaced = {}, True, False

    def _probed(self, args: Any, kwargs: Any, batch: int) -> tuple[dict[Number, Layout], bool]:
        """The layout at each noisy call, and whether the rows depend on one another.

        The model runs on two equal rows, on three, and on two of which one is changed. Where it can't be called with
        two rows, such as two nodes of a graph, the batch is one unit.
        """
        two = rows(args, kwargs, batch, [0, 0])
        self._settle(args, kwargs, two)
        self.sampler.level = None
        layouts, whole = self._lying(args, kwargs, batch, two)
        if whole or self.sampler.level is None:
            return layouts, whole
        # A mask made by hand may have dropped everything. So probe again with a uniform number at the other end.
        self.sampler.level = LOW
        try:
            more, whole = self._lying(args, kwargs, batch, two)
        except Exception:
            more, whole = {}, True
        return ({}, True) if whole else ({**more, **layouts}, False)

    def _lying(self, args: Any, kwargs: Any, batch: int, two: tuple[Any, Any]) -> tuple[dict[Number, Layout], bool]:
        try:
            probes = [
                self._seen(*few)
                for few in (two, rows(args, kwargs, batch, [0, 0, 0]), *_changed(args, kwargs, batch, two))
            ]
        except Exception:
            answer = self._seen(args, kwargs)[1]
            self._check_form(args, kwargs, answer)
            self.quiet = self._output(answer)
            return {}, True
        (first, answer), (three, second), (other, third), (swapped, fourth) = probes
        self._check_form(*two, answer)
        self.quiet = self._output(answer)
        if not independent(*(self._output(found) for found in (answer, second, third, fourth))):
            return {}, True
        layouts = {}
        for number in first.keys() & three.keys() & other.keys() & swapped.keys():
            x, changed = first[number], (other[number], swapped[number])
            found = layout(x.shape, three[number].shape)
            if found is None:
                return {}, True
            if found.axis is not None:
                if not x.shape == changed[0].shape == changed[1].shape and number not in self.sampler.ragged:
                    return {}, True
                if found.each > 1:
                    found = Layout(found.axis, found.each, together(found, x, changed[0]))
                if not in_order(found, x, *changed):
                    return {}, True
            layouts[number] = found
        return layouts, False

    def _seen(self, args: Any, kwargs: Any) -> tuple[dict[Number, Tensor], Any]:
        """Run the model without noise. Returns: the tensor that each noisy call acts on, and the answer."""
        seen: dict[Number, Tensor] = {}
        self.sampler.seen = seen
        args, kwargs = rows(args, kwargs, -1, None, copied=True)
        given = [tensor for tensor in tensors_of((args, kwargs)) if not tensor.is_inference()]
        versions = [tensor._version for tensor in given]
        drawn: list[Draw] = []
        try:
            # In one pass only, because a dispatch mode is slow.
            with ExitStack() as stack:
                if not self._watched:
                    stack.enter_context(_noise().of_torch())
                    stack.enter_context(DrawMode(drawn.append))
                answer = self._answer(args, kwargs, IDLE)
        finally:
            self.sampler.seen = None
        if not seen and not self.by_python:
            raise RuntimeError(
                f"`predict`: noise must be drawn in a forward pass. Got none at {', '.join(self.live.names)}, which "
                "drew when the model was inspected: its forward asks for something else than its owner's `training`, "
                "or calls torch from code that changes. Pass sites=... or thinned.nn's layers."
            )
        if drawn:
            raise ValueError(
                f"`predict`: all noise must be drawn by key. Got draws by {drawn[0].operator} at a place that "
                "`thinned.inspect` does not show, or that `sites` leaves out of a module that draws other noise. Name "
                "that place in `sites` too, or leave all of its module out."
            )
        self._watched = True
        if versions != [tensor._version for tensor in given]:
            self._writes, self.remembers = True, False
        return seen, answer

    def _settle(self, args: Any, kwargs: Any, two: Any) -> None:
        """Leave out modules that run only in training and change the form of the answer: auxiliary classifiers."""
        if not self.live.trial:
            return
        try:
            plain, answer = self._plain(*two), self._seen(*two)[1]
        except Exception:
            plain, answer = self._plain(args, kwargs), self._seen(args, kwargs)[1]
        if _form(plain) == _form(answer):
            self.live = self.live._replace(flipped=self.live.flipped | self.live.trial, trial=set())
        else:
            for name in self.live.trial:
                self.sampler.running.modules[name].training = False
            kept = tuple(place for place in self.live.places if place.name not in self.live.aside)
            self.live = self.live._replace(places=kept, trial=set())
            if not kept:
                raise ValueError(
                    f"`predict`: `model` must have noise to sample. Got noise only at {', '.join(self.live.aside)}, "
                    f"where the model gives another answer, {_form(answer)}. Pass sites=... or put dropout elsewhere."
                )
        self.sampler.flipped = self.live.flipped

    @outermost
    def _plain(self, args: Any, kwargs: Any) -> Any:
        """The model's answer with all modules in evaluation mode."""
        modules = [self.sampler.running.modules[name] for name in self.live.flipped | self.live.trial]
        copied = rows(args, kwargs, -1, None, copied=True)
        for module in modules:
            module.training = False
        try:
            with _noise().of_torch():
                return self.model(*copied[0], **copied[1])
        finally:
            for module in modules:
                module.training = True

    def _check_form(self, args: Any, kwargs: Any, answer: Any) -> None:
        """Refuse a model that answers in another form while the modules that draw are in training mode."""
        modules = [self.sampler.running.modules[name] for name in self.live.flipped]
        if not self._as_evaluated or not any(True for module in modules for _ in module.children()):
            return
        plain = self._plain(args, kwargs)
        if _form(plain) != _form(answer):
            owners = ", ".join(name or "the model itself" for name in sorted(self.live.flipped))
            raise ValueError(
                f"`predict`: `model` must answer alike with and without noise. Got {_form(answer)} where {owners} "
                f"trains, {_form(plain)} in evaluation. Pass output=, which takes the first answer and gives its "
                "tensor, or leave the place out by sites=..."
            )

    def samples(self, args: Any, kwargs: Any, keys: Tensor, first_row: int) -> Tensor:
        """The outputs `(len(keys), rows, ...)` of the samples with these keys.

        Raises:
            Misplaced: rows are not where the layouts have them.
        """
        self.sampler.first_row = 0 if self.whole else first_row
        self.sampler.rows = None if self.whole else batch_size(args, kwargs)
        if self.remembers and not self.sampler.log:
            self.sampler.remember()
        found = self._samples(args, kwargs, keys)
        if found is None:
            self.remembers = False
            self.sampler.forget()
            found = self._samples(args, kwargs, keys)
            assert found is not None
        return found

    def forget(self) -> None:
        """Forget the remembered results: they belong to other rows than the next ones."""
        self.sampler.forget()

    def _samples(self, args: Any, kwargs: Any, keys: Tensor) -> Tensor | None:
        """Run all samples as one batch, or one by one; None if the remembered results can't be used in another pass."""
        if not self.why_loop and len(keys) > 1:
            try:
                result: Tensor = torch.func.vmap(lambda key: self.once(args, kwargs, key), randomness="error")(keys)
                self._check_places()
                return None if self.sampler.unrepeated else result
            except Exception as error:
                self._check_places()
                if self.sampler.unrepeated:
                    return None
                self.why_loop = f"{type(error).__name__}: {error}".splitlines()[0]
        drawn: list[Tensor] = []
        for key in keys:
            with suppress(Unrepeated, Misplaced):
                drawn.append(self.once(args, kwargs, key))
            self._check_places()
            if self.sampler.unrepeated:
                return None
        shapes = list(dict.fromkeys(tuple(found.shape) for found in drawn))
        if len(shapes) > 1:
            raise ValueError(
                f"`predict`: the output must have one shape in every sample. Got {shapes[0]} and {shapes[1]}. Pass "
                "output=, which takes the answer and gives a tensor of fixed shape."
            )
        return torch.stack(drawn)

    def _check_places(self) -> None:
        if self.sampler.misplaced:  # a flag, because the model may have caught the exception
            raise Misplaced


def _noise() -> PrivateNoise:
    noise = current()
    assert noise is not None
    return noise


def _form(answer: Any) -> str:
    """The type of an answer, and the shapes in it."""
    return f"{type(answer).__name__} of {[tuple(tensor.shape) for tensor in tensors_of(answer)]}"


def _changed(args: Any, kwargs: Any, batch: int, two: Any) -> tuple[Any, Any]:
    """Two rows that differ, and these two swapped: the first two of the data, or a row and an altered copy."""
    if batch > 1:
        pair = rows(args, kwargs, batch, [0, 1])
        if any(not torch.equal(*both) for both in zip(tensors_of(pair), tensors_of(two), strict=True)):
            return pair, rows(args, kwargs, batch, [1, 0])
    return rows(args, kwargs, batch, [0, 0], altered=1), rows(args, kwargs, batch, [0, 0], altered=0)


def _in_python(model: Module, live: Live) -> None:
    """Refuse places inside of TorchScript, whose calls no function mode sees."""
    modules = dict(model.named_modules())
    for place in live.places:
        if isinstance(modules.get(place.module), torch.jit.ScriptModule):
            raise TypeError(
                f"`predict`: noise must be drawn in Python. Got {place.name!r}, which is TorchScript. Pass the model "
                "that was scripted, with its state_dict, or leave the place out by sites=..."
            )


def rows(
    args: Any, kwargs: Any, batch: int, picked: Any, altered: int | None = None, *, copied: bool = False
) -> tuple[Any, Any]:
    """The arguments with only the `picked` rows of every tensor that has `batch` rows.

    `altered` is the number of a picked row whose real numbers are changed. With `copied`, all tensors are copied whole.
    """

    def pick(value: Any) -> Any:
        if copied and isinstance(value, Tensor):
            return value.clone()
        if isinstance(value, Tensor) and value.ndim and value.shape[0] == batch:
            some = value[picked]
            if altered is not None and some.is_floating_point():
                some = some.clone()
                some[altered] = 0.5 - some[altered]
            return some
        if isinstance(value, dict):
            return type(value)({name: pick(inner) for name, inner in value.items()})
        if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
            return type(value)(pick(inner) for inner in value)
        return value

    return pick(args), pick(kwargs)
