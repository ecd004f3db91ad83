"""A site's seat in a stream: which key the next call of the site has.

A site's first call in a step has the site's key of that step; its call number c = 1, 2, ... has `fold_in(that key, c)`.

What a traced graph reads of a seat, and the count that it writes, are tensors. Numbers would be a part of the graph,
which would be compiled again for every step, call and layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from ..ops.fold import fold_number
from ..ops.philox import signed
from ..ops.placed import Parts, Placed
from . import segment
from .recompute import Call, Ledger, sampled

KEPT = 64  # counts that a seat keeps the tensors of

_library = torch.library.Library("thinned", "FRAGMENT")
_seats: dict[int, list[Seat]] = {}  # by the key of the step, for graphs, which know nothing else of a seat


class Seat:
    """One site of an active stream.

    `ticket` counts every draw of the step, repeated ones too; `index` is the next call's number without those.
    """

    def __init__(self, name: str, ledger: Ledger, number: int, key: Tensor) -> None:
        self.name = name
        self.parts: Parts = ()
        self._ledger = ledger
        self._rewinding: set[int] = set()
        self._counts: dict[tuple[int, int], Tensor] = {}  # made in earlier steps, which counted alike
        self._begin(number, key)

    def begin(self, number: int, key: Tensor) -> None:
        """Begin another step, in which the site has this key, as a number and as a tensor."""
        self.close()
        self._begin(number, key)

    def _begin(self, number: int, key: Tensor) -> None:
        self._number, self.key = number, key
        self.loose: list[Call] = []  # the step's calls in no segment
        self._count(0, 0)
        _seats.setdefault(self._number, []).append(self)

    def close(self) -> None:
        same = _seats[self._number]
        same.remove(self)
        if not same:
            del _seats[self._number]

    # The count is kept twice: as numbers, and as a tensor for graphs, which put a new tensor in its place.

    def _count(self, ticket: int, index: int) -> None:
        self._ticket, self._index = ticket, index
        count = self._counts.get((ticket, index))
        if count is None:
            if len(self._counts) == KEPT:
                self._counts.clear()
            count = self._counts[ticket, index] = integers((ticket, index))
        self.count = self._counted = count

    def _recount(self) -> None:
        self._ticket, self._index = self.count.tolist()
        self._counted = self.count

    @property
    def ticket(self) -> int:
        if self.count is not self._counted:
            self._recount()
        return self._ticket

    @property
    def index(self) -> int:
        if self.count is not self._counted:
            self._recount()
        return self._index

    @index.setter
    def index(self, value: int) -> None:
        self._count(self.ticket, value)

    def draw(self, input: Tensor) -> Placed:
        """The key of the present call, and its place."""
        if torch.compiler.is_compiling():
            return self._trace()
        if self.count is not self._counted:
            self._recount()
        ticket, index = self._ticket, self._index
        if segment.plain():
            call, repeated = Call(index, self.keyed(index), self.parts), False
            if len(self.loose) < 2:
                self.loose.append(call)
        else:
            call, repeated = self._settle(ticket, index, input)
        self._count(ticket + 1, index if repeated else index + 1)
        return Placed(call.key, call.parts)

    def keyed(self, index: int) -> int:
        """The key of call number `index` of this step."""
        return fold_number(self._number, index) if index else self._number

    def _trace(self) -> Placed:
        if torch.compiler.is_exporting():
            raise RuntimeError(
                f"`stream`: site {self.name!r} must not be exported while it is in a stream. Its key would be a "
                "constant of the program. Export in eval mode, or outside the `with`."
            )
        # A checkpoint inside a graph forbids what it would have to do twice. This is to be done once: the operator
        # knows its own repetitions.
        from torch._dynamo.utils import _disable_side_effect_safety_checks_for_current_subtracer as once

        return Placed(torch.ops.thinned.site_key(self.key, once(self._next)), self.parts)

    def _next(self) -> Tensor:
        count = self.count
        self.count = count + 1
        return count

    def run(self, ticket: int, index: int) -> int:
        """What a running graph asks. It counts its calls when it is over: until then, `count` is as of its start."""
        if segment.plain():
            return self._keep(Call(index, self.keyed(index), self.parts)).key
        call, repeated = self._settle(ticket, index, None)
        if repeated:
            self._uncount_afterwards()
        if call.parts != self.parts:
            raise RuntimeError(
                f"`stream`: site {self.name!r}, in a compiled graph that a checkpoint outside of it repeats, must be "
                f"repeated within the same part or rows. Got {self.parts} for what was {call.parts}. Call backward() "
                "inside that `with`, or compile the checkpoint too."
            )
        return call.key

    def _settle(self, ticket: int, index: int, input: Tensor | None) -> tuple[Call, bool]:
        """A call that may be repeated, or that is a repetition, and which it is; `input` is None in a graph."""
        opened, target, run = segment.surroundings()
        repeated = target is not None or segment.in_backward()
        if repeated:
            call = self._ledger.find(target, run, self, ticket, input)
        else:
            call = Call(index, self.keyed(index), self.parts)
            if input is not None and not (opened and all(map(segment.repeats_in_order, opened))):
                call.sample = sampled(input)
            if not opened:
                self._keep(call)
        self._ledger.record(opened, self, call)
        return call, repeated

    def _keep(self, call: Call) -> Call:
        if call.sample is not None or len(self.loose) < 2:  # without a sample two are as hard to tell as many
            self.loose.append(call)
        return call

    def _uncount_afterwards(self) -> None:
        """A graph counts repeated calls as new ones. When the backward pass is over, the count is what it was."""
        task = torch._C._current_graph_task_id()
        if task not in self._rewinding:
            self._rewinding.add(task)
            torch.autograd.Variable._execution_engine.queue_callback(partial(self._uncount, task, self.index))

    def _uncount(self, task: int, index: int) -> None:
        self._rewinding.discard(task)
        self.index = index

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(None), ()  # a copy of a model is outside the stream


def integers(values: Sequence[int]) -> Tensor:
    """A tensor that autograd can save, wherever it is made."""
    with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
        return torch.tensor(values, dtype=torch.int64, device="cpu")


_library.define("site_key(Tensor key, Tensor count) -> Tensor")


def _site_key(key: Tensor, count: Tensor) -> Tensor:
    number = int(key) % 2**64
    ticket, index = count.tolist()
    same = _seats.get(number, [])
    seat = same[0] if len(same) == 1 else next((seat for seat in same if seat.key.data_ptr() == key.data_ptr()), None)
    if seat is not None and ticket >= seat.ticket:
        number = seat.run(ticket, index)
    elif index:
        # Of an older step, or counted already: the graph repeats a node of its own, as torch's partitioner has it do.
        number = fold_number(number, index)
    return torch.tensor(signed(number), dtype=torch.int64, device="cpu")


_library.impl("site_key", _site_key, "CompositeExplicitAutograd")
torch.library.register_fake("thinned::site_key", lambda key, count: torch.empty_like(key), lib=_library)
