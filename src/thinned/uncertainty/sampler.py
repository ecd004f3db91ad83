"""A model's forward pass with its noise on, by key, while the model itself stays in evaluation mode.

While the model runs, every call of torch passes through `Sampler`, a function mode. A call that drops gets its p and
noise by key from it. The results of the calls before the first noise are the same for all samples. So the first pass
remembers them, and later passes do not compute them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from .._torch import add_batch_axis, batch_axis, batch_level, batch_tensor, is_batched, is_wrapped
from ..model.known.functions import DRAWS, FUNCTIONS, OPERATORS, WRITES, canonical, noisy
from ..model.known.operations import INSIDE
from ..model.known.where import Where
from ..model.watch.callsite import caller, callsite, is_plumbing, transparent
from ..model.watch.recorder import tensors_of
from ..model.watch.running import Running
from ..nn.names import site_number
from ..noise.place import Placement
from ..ops import cpu
from ..ops.fold import fold_numbers
from ..ops.philox import signed
from ..ops.rate import packed, unpacked
from . import keyed_functions
from .rows import Layout, placement

Module = torch.nn.Module

IDLE = torch.tensor(0, device="cpu")  # the key of passes without noise
HIGH, LOW = 1 - 2**-24, 2**-24  # uniform numbers that keep all units in `rand > p`, or in `rand < 1 - p`
Number = tuple[str, int]  # a module's name, and which of its noisy calls in a forward pass


# An Exception, for which torch runs hooks with `always_call`. If a model catches it, `Sampler.unrepeated` tells of it.
class Unrepeated(Exception):  # noqa: N818  no fault of anybody's
    """The remembered results can't be used in this pass: one was written to, or the pass makes other calls."""


class Misplaced(Exception):  # noqa: N818
    """A noisy call acts on a tensor that does not have the rows that the model was called with."""


class Sampler(TorchFunctionMode):
    """The function mode that turns a model's noise on, by key.

    A pass for one sample is `sampler.begin(key)`, then a run of the model inside `with sampler:`, then `sampler.end()`.

    Arguments:
        live: the calls that drop, as in `Live.calls`.
        told: those of them that drop only where their own training flag is true.
        flipped: modules that are in training mode during a pass; batch normalisation in them runs as in evaluation.
        layouts: where rows lie at each noisy call, as `rows.layout` found it.
        alike: whether all rows have the same masks.
    """

    def __init__(
        self,
        model: Module,
        live: dict[Where, float | None],
        told: set[Where],
        flipped: set[str],
        layouts: dict[Number, Layout],
        alike: bool,
    ) -> None:
        super().__init__()
        self.running = Running(model, own=True)
        self._live, self._told, self.flipped, self.layouts, self._alike = live, told, flipped, layouts, alike
        self._owners = {module for module, *_ in live}
        self.unrepeated = False  # whether the remembered results could not be used in a pass
        self.misplaced = False  # whether rows were not where `layouts` has them
        self.first_row = 0
        self.rows: int | None = None  # how many rows there are; None: not checked
        self.log: list[tuple[Any, Any]] = []  # functions and results of the calls before the first noise
        self.seen: dict[Number, Tensor] | None = None  # in a probe: what each noisy call acts on, without noise
        self.level: float | None = None  # in a probe: the value of all uniform numbers, HIGH unless set
        self.ragged: set[Number] = set()  # the noisy calls that have as many steps as the longest row
        self._storages: set[int] = set()
        self._versions: list[tuple[Tensor, int]] = []
        self._recording = False
        self.begin(IDLE)

    def begin(self, key: Tensor) -> None:
        """Begin the forward pass of the sample with this key."""
        self.key = key
        self._order = 0
        self._counts: dict[str, int] = {}
        self._replaced: Any = None
        self._stale: dict[int, Tensor] = {}  # replaced tensors, by storage; held, so that none is reused
        if self._recording:
            self.log = []

    def forget(self) -> None:
        self.log, self._storages, self._versions = [], set(), []
        self._recording = self.unrepeated = False

    def remember(self) -> None:
        """Remember the results of the next pass's calls before its first noise."""
        self.forget()
        self._recording = True

    def _stop_recording(self) -> None:
        self._recording = False
        kept = [tensor for _, result in self.log for tensor in tensors_of(result)]
        self._storages = {_storage(tensor) for tensor in kept} - {0}
        self._versions = [(tensor, tensor._version) for tensor in kept if not tensor.is_inference()]
        # A tensor of a transform can't be used after it, and an autograd graph serves one backward pass only.
        self.unrepeated = any(
            is_wrapped(tensor) or (tensor.requires_grad and not isinstance(tensor, torch.nn.Parameter))
            for tensor in kept
        )

    def end(self) -> None:
        """End a pass, and check whether it has written to a remembered result."""
        if self._recording:
            self._stop_recording()
        if any(tensor._version != version for tensor, version in self._versions):
            self.unrepeated = True

    @transparent
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = canonical(func)
        if name not in OPERATORS and is_plumbing(caller(1)):
            return torch.zeros((), dtype=torch.int64, device="cpu") if name == "randint" else func(*args, **kwargs)
        order, self._order = self._order, self._order + 1
        if order < len(self.log) and not self._recording:
            before, result = self.log[order]
            if before is not func and before != func:
                self.unrepeated = True
                raise Unrepeated
            return result
        if self._replaced is not None:
            args, kwargs = self._current(args), self._current(kwargs)
        if name in FUNCTIONS or name in OPERATORS or name in DRAWS:
            rate = self._rate(func, name, args, kwargs)
            if rate is not None and rate > 0.0:
                if self._recording:
                    self._stop_recording()
                return self._noise(func, name, rate, args, kwargs)
            if rate is not None:
                if name in OPERATORS:
                    return args[0]
                entry = noisy(name, args)
                if entry is not None:
                    args, kwargs = entry.p.write(args, kwargs, 0.0)
        if name in ("batch_norm", "instance_norm") and self.running.name in self.flipped:
            args, kwargs = _in_evaluation(args, kwargs)
        if self.log and not self._recording and WRITES.match(getattr(func, "__name__", "")):
            self._check_write(args)
        result = _linear(*args) if func is torch.nn.functional.linear and not kwargs else func(*args, **kwargs)
        if self._recording:
            self.log.append((func, result))
        return result

    def _rate(self, func: Any, name: str, args: Any, kwargs: Any) -> float | None:
        """The p of a call that is to drop; 0 for a call to switch off; None for a call to leave alone."""
        module = self.running.name
        if module not in self._owners:
            return None
        where = Where(module, OPERATORS.get(name, name), *callsite(caller(2)))
        if name in OPERATORS:
            where = next((other for other in self._live if other.module == module), where)
        if where not in self._live:
            return None
        rate = self._live[where]
        entry = noisy(name, args)
        own, training = (1.0, True) if entry is None else entry.rate(args, kwargs)
        if where in self._told and not training:
            return 0.0
        return own if rate is None else rate

    def _noise(self, func: Any, name: str, p: float, args: Any, kwargs: Any) -> Any:
        if name in OPERATORS:
            return self._ours(func, args)
        if name == "scaled_dot_product_attention":
            return keyed_functions.attention(self, p, args, kwargs)
        if name == "multi_head_attention_forward":
            return keyed_functions.multi_head_attention(self, func, p, args, kwargs)
        if name in INSIDE:
            entry = noisy(name, args)
            assert entry is not None
            return keyed_functions.recurrent(self, name, entry, p, args)
        if name in DRAWS:
            drawn = keyed_functions.draw(self, name, func, args, kwargs)
            if keyed_functions.in_place(func):
                return self._written(args[0] if args else kwargs["tensor"], drawn)
            return drawn
        if name == "stochastic_depth":
            mode = args[2] if len(args) > 2 else kwargs["mode"]
            x = args[0] if args else kwargs["input"]
            return self.thin(x, p, range(1, x.ndim) if mode == "row" else range(x.ndim))
        x = args[0] if args else kwargs["input"]
        thinned = keyed_functions.dropout(self, name, x, p)
        writes = keyed_functions.in_place(func) or (args[3] if len(args) > 3 else kwargs.get("inplace", False))
        return self._written(x, thinned) if writes else thinned

    def _ours(self, func: Any, args: Any) -> Tensor:
        """Run an operator of thinned with its own law and shared axes, and the key and positions of this sample."""
        x, _, law, linear, strides, _ = args
        shared = [axis for axis, step in enumerate(strides) if step == 0]
        number, found = self._number(x)
        if self.seen is not None:
            self.seen[number] = x
            unthinned: Tensor = x
            return unthinned
        where, split = self._place(x, found, shared)
        made: Tensor = func(
            split, self._own(number), law, linear, [signed(s) for s in where.strides], signed(where.base)
        )
        return made.reshape(x.shape)

    # The methods of a `NoiseSource`.

    @property
    def packed(self) -> PackedSequence | None:
        return self.running.packed

    def thin(
        self, x: Tensor, p: float, shared: Sequence[int] = (), law: str = "inverted", ragged: bool = False
    ) -> Tensor:
        return self._keyed(x, torch.ops.thinned.drop, packed(law, p, "predict"), shared, ragged)

    def uniform(self, like: Tensor) -> Tensor:
        drawn = self._keyed(torch.ones_like(like), torch.ops.thinned.uniform, _NO_LAW)
        if self.seen is None:
            return drawn
        self.level = self.level or HIGH
        return drawn * self.level

    def normal(self, like: Tensor) -> Tensor:
        return self._keyed(torch.ones_like(like), torch.ops.thinned.gaussian, _UNIT) - 1.0

    def _keyed(self, x: Tensor, operator: Any, law: Tensor, shared: Sequence[int] = (), ragged: bool = False) -> Tensor:
        number, found = self._number(x)
        if self.seen is not None:
            self.seen[number] = x
            if ragged:
                self.ragged.add(number)
            return x
        where, split = self._place(x, found, shared, ragged)
        if operator is torch.ops.thinned.drop:
            quick = self._quick(split, number, law, where)
            if quick is not None:
                return quick.reshape(x.shape)
        result: Tensor = operator(
            split, self._own(number), law, False, [signed(step) for step in where.strides], signed(where.base)
        )
        return result.reshape(x.shape)

    def _quick(self, x: Tensor, number: Number, law: Tensor, where: Placement) -> Tensor | None:
        """`thinned::drop` without the dispatcher, which takes a millisecond for a batch of keys; None if it can't."""
        key, batched = self.key, is_batched(self.key)
        if x.requires_grad and torch.is_grad_enabled():
            return None  # only the operator has a derivative
        value = x
        if batched:
            level, key = batch_level(key), batch_tensor(key)
            if not is_batched(x):
                value = x.expand(len(key), *x.shape)
            elif batch_level(x) == level:
                value = _samples_first(x)
        plain = type(value) in (Tensor, torch.nn.Parameter) and not is_wrapped(value)
        if not plain or value.device.type != "cpu" or key.device.type != "cpu":
            return None
        strides = (0, *where.strides) if batched else where.strides
        made = cpu.drop(value, self._keys(number, key), *unpacked(law, False), strides, where.base)
        return add_batch_axis(made, 0, level) if batched else made

    def _keys(self, number: Number, parents: Tensor) -> Tensor:
        """`_own` for a tensor of keys outside of any transform."""
        module, count = number
        numbers = fold_numbers([key % 2**64 for key in parents.flatten().tolist()], site_number(module))
        own = [signed(key) for key in fold_numbers(numbers, count)]
        return torch.tensor(own, dtype=torch.int64, device="cpu").reshape(parents.shape)

    def _number(self, x: Tensor) -> tuple[Number, Layout]:
        """The number of the noisy call that is made now, and its layout.

        Raises:
            Misplaced: `x` does not have the rows that the layout says.
        """
        module = self.running.name
        count = self._counts.get(module, 0)
        self._counts[module] = count + 1
        found = self.layouts.get((module, count))
        if self.rows is not None and (found is None or found.rows(x) not in (None, self.rows)):
            self.misplaced = True
            raise Misplaced
        return (module, count), found or Layout()

    def _own(self, number: Number) -> Tensor:
        """The key of one call: `fold_in(fold_in(the sample's key, site), call)`."""
        module, count = number
        site: Tensor = torch.ops.thinned.fold_in(self.key, signed(site_number(module)))
        own: Tensor = torch.ops.thinned.fold_in(site, count)
        return own

    def _place(self, x: Tensor, found: Layout, shared: Sequence[int], ragged: bool = False) -> tuple[Placement, Tensor]:
        split, rows = found.split(x)
        return placement(split.shape, rows, self.first_row, found.shared(shared), self._alike, ragged), split

    # Writes.

    def _written(self, target: Tensor, drawn: Tensor) -> Tensor:
        """Write noise in place. If all samples share `target`, later calls get `drawn` instead of it."""
        if is_batched(drawn) and not is_batched(target):
            if self._replaced is None:
                self._replaced = WeakIdKeyDictionary()
            self._replaced[target] = drawn
            self._stale[_storage(target) or -1] = target
            return drawn
        return target.copy_(drawn)

    def current(self, answer: Tensor) -> Tensor:
        """A tensor of the model's answer, or the tensor that replaces it (`_written`)."""
        found: Tensor = answer if self._replaced is None else self._current(answer)
        return found

    def _current(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            found = self._replaced.get(value, value)
            if found is value and not is_wrapped(value) and _storage(value) in self._stale:
                raise RuntimeError("noise is written in place, through a view")
            return found
        if isinstance(value, dict):
            return {name: self._current(inner) for name, inner in value.items()}
        if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
            return type(value)(self._current(inner) for inner in value)
        return value

    def _check_write(self, args: Any) -> None:
        target = args[0] if args else None
        if isinstance(target, Tensor) and not is_wrapped(target) and _storage(target) in self._storages:
            self.unrepeated = True
            raise Unrepeated


def _storage(tensor: Tensor) -> int:
    """The address of a tensor's storage; 0 for a tensor without one."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def _linear(x: Tensor, *parameters: Any) -> Tensor:
    """`linear` for all samples in one call. vmap's own rule would add the bias in a second pass over the result."""
    plain = not any(parameter is not None and is_wrapped(parameter) for parameter in parameters)
    if not plain or not is_batched(x) or is_wrapped(batch_tensor(x)):
        return torch.nn.functional.linear(x, *parameters)
    made = torch.nn.functional.linear(_samples_first(x), *parameters)
    result: Tensor = add_batch_axis(made, 0, batch_level(x))
    return result


def _samples_first(x: Tensor) -> Tensor:
    """The plain tensor inside a batched tensor of vmap, with the axis of samples first."""
    return batch_tensor(x).movedim(batch_axis(x), 0)


_NO_LAW = torch.zeros(1, dtype=torch.float64, device="cpu")
_UNIT = torch.ones(1, dtype=torch.float64, device="cpu")


def _in_evaluation(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The arguments of batch or instance normalisation, set to use its running statistics where it has them."""
    named = dict(zip(("input", "running_mean", "running_var", "weight", "bias", "training"), args, strict=False))
    if {**named, **kwargs}.get("running_mean") is None:
        return args, kwargs
    for place, word in ((5, "training"), (5, "use_input_stats")):
        if word in kwargs:
            return args, {**kwargs, word: False}
        if len(args) > place:
            return (*args[:place], False, *args[place + 1 :]), kwargs
    return args, {**kwargs, "training": False}
