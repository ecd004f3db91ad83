"""A site's seat in a stream: which key the next call of the site has.

A site's first call in a step has the site's key of that step; its call number c = 1, 2, ... has `fold_in(that key, c)`.
What a traced graph reads of a seat is data: the key is a tensor, the counters are integers that may vary, so that one
graph serves every step, and every layer of one class.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..noise.philox import FOLD_IN_DOMAIN, blocks
from ..ops.fold import fold_number
from ..ops.philox import signed
from ..ops.placed import Parts, Placed
from . import segment
from .recompute import Call, Ledger, sampled

FIRST = 2  # torch.compile takes 0 and 1 for constants: tickets that begin there would each be a graph of their own

_library = torch.library.Library("thinned", "FRAGMENT")
_seats: dict[int, list[Seat]] = {}  # by the key of the step, for graphs, which know nothing else of a seat


class Seat:
    """One site of an active stream.

    `ticket` counts every draw of the step, repeated ones too; `ticket - base` is the next call's number without those.
    """

    def __init__(self, name: str, ledger: Ledger, key: Tensor) -> None:
        self.name = name
        self.parts: Parts = ()
        self._ledger = ledger
        self._rewinding: set[int] = set()
        self._begin(key)

    def begin(self, key: Tensor) -> None:
        """Begin another step, in which the site has this key."""
        self.close()
        self._begin(key)

    def _begin(self, key: Tensor) -> None:
        self.key = key
        self._number = int(key) % 2**64
        self.ticket = self.base = FIRST
        self.loose: list[Call] = []  # the step's calls in no segment
        _seats.setdefault(self._number, []).append(self)

    def close(self) -> None:
        same = _seats[self._number]
        same.remove(self)
        if not same:
            del _seats[self._number]

    @property
    def index(self) -> int:
        """The number of the next call."""
        return self.ticket - self.base

    @index.setter
    def index(self, value: int) -> None:
        self.base = self.ticket - value

    def draw(self, input: Tensor) -> Placed:
        """The key of the present call, and its place."""
        if torch.compiler.is_compiling():
            return self._trace()
        if segment.plain():
            call = self._keep(Call(self.index, self.keyed(self.index), self.parts))
        else:
            call = self._settle(self.ticket, self.index, input)
        self.ticket += 1
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

        ticket = once(self._next)
        return Placed(torch.ops.thinned.site_key(self.key, ticket - self.base, ticket), self.parts)

    def _next(self) -> int:
        ticket = self.ticket
        self.ticket = ticket + 1
        return ticket

    def run(self, index: int, ticket: int) -> int:
        """What a running graph asks, whose calls count when it is over: until then, `ticket` is that of its first."""
        if segment.plain():
            return self._keep(Call(index, self.keyed(index), self.parts)).key
        call = self._settle(ticket, index, None)
        if call.parts != self.parts:
            raise RuntimeError(
                f"`stream`: site {self.name!r}, in a compiled graph that a checkpoint outside of it repeats, must be "
                f"repeated within the same part or rows. Got {self.parts} for what was {call.parts}. Call backward() "
                "inside that `with`, or compile the checkpoint too."
            )
        return call.key

    def _settle(self, ticket: int, index: int, input: Tensor | None) -> Call:
        """A call that may be repeated, or that is a repetition; `input` is None in a graph."""
        opened, repeated, run = segment.surroundings()
        if repeated is None and not segment.in_backward():
            call = Call(index, self.keyed(index), self.parts)
            if input is not None and not (opened and all(map(segment.repeats_in_order, opened))):
                call.sample = sampled(input)
            if not opened:
                self._keep(call)
        else:
            call = self._ledger.find(repeated, run, self, ticket, input)
            if input is None:
                self._rewind_afterwards()
            else:
                self.base += 1  # the ticket counts it
        self._ledger.record(opened, self, call)
        return call

    def _keep(self, call: Call) -> Call:
        if call.sample is not None or len(self.loose) < 2:  # without a sample two are as hard to tell as many
            self.loose.append(call)
        return call

    def _rewind_afterwards(self) -> None:
        """A graph counts its calls as new ones; when the backward pass is over they are uncounted."""
        task = torch._C._current_graph_task_id()
        if task not in self._rewinding:
            self._rewinding.add(task)
            torch.autograd.Variable._execution_engine.queue_callback(partial(self._rewind, task, self.index))

    def _rewind(self, task: int, index: int) -> None:
        self._rewinding.discard(task)
        self.index = index

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(None), ()  # a copy of a model is outside the stream


def folded(key: int | NDArray[np.uint64], n: int | NDArray[np.uint64]) -> Tensor:
    """`fold_in` of many keys or many numbers at once, as int64."""
    words = blocks(np.asarray(key, dtype=np.uint64), np.asarray(n, dtype=np.uint64), FOLD_IN_DOMAIN).astype(np.uint64)
    with torch.inference_mode(False):  # or autograd could not save them
        return torch.from_numpy((words[..., 0] | words[..., 1] << np.uint64(32)).view(np.int64))


_library.define("site_key(Tensor key, SymInt index, SymInt ticket) -> Tensor")


def _site_key(key: Tensor, index: int, ticket: int) -> Tensor:
    number = int(key) % 2**64
    same = _seats.get(number, [])
    seat = same[0] if len(same) == 1 else next((seat for seat in same if seat.key.data_ptr() == key.data_ptr()), None)
    if seat is not None and ticket >= seat.ticket:
        number = seat.run(index, ticket)
    elif index:
        # Of an older step, or counted already: the graph repeats a node of its own, as torch's partitioner has it do.
        number = fold_number(number, index)
    return torch.tensor(signed(number), dtype=torch.int64, device="cpu")


_library.impl("site_key", _site_key, "CompositeExplicitAutograd")
torch.library.register_fake("thinned::site_key", lambda key, index, ticket: torch.empty_like(key), lib=_library)
