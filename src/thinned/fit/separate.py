"""Networks of any kind that learn side by side, each by itself: the courses of training are the same as a stack's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .._torch import BatchNorm
from ..nn.names import sites
from ..nn.stream.stream import Stream
from ..noise import fold_in
from ..ops.fold import fold_numbers
from .adamw import adamw
from .loss import training_loss
from .perceptron import Perceptron
from .stack import MASKS, ORDER, WEIGHTS, Member
from .torch_seeded import torch_seeded

Build = Callable[[torch.Generator], nn.Module]
Lesson = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]  # outputs for a batch, and what they should be
Between = Callable[[nn.Module], Callable[[int], None]]  # for a network, what happens to it between steps
ANSWERED = 256  # rows that are answered at once


class Separate:
    """Networks under training, with torch's own gradient and AdamW, one after another in every step.

    A member's first weights are those that its `build` makes with a generator seeded with `fold_in(key, 0)`; torch's
    own generator has this seed too while it builds. The order of rows is `fold_in(key, 1)`'s. The key of a layer's
    mask is `fold_in(fold_in(fold_in(key, 2), site), step)`, as in `thinned.stream` with the seed `fold_in(key, 2)`: so
    equal keys give equal masks, nested in p, whatever else the network has. Noise of torch's own layers depends on
    key and step alone as well, but on the network too. A `Perceptron` has the masks that it has in a `Stack`.

    A network ends with outputs `(B, outputs)`: logits, or values `(B, 1)`. Batch normalisation has no variance of one
    row: with it, a last batch of one row is left out.

    Arguments:
        members: what decides each training. Their p and p_input say nothing here: they are in the network.
        x, y: training sets, `(R, n, ...)` and `(R, n)`; y is int64 for classes, else float32. Their device trains.
        builds: each member's network.
        batch: rows a step.
        between: called once with each network. What it gives is called with the number of finished steps: with 0
            before the first step, and after every step of the optimiser. It may set rates, or bound weights.
        lesson: what a network, no `Perceptron`, learns from a batch; None: to answer each of its rows.

    >>> x, y = torch.ones(1, 6, 2), torch.zeros(1, 6)
    >>> member = Member(0, 1, 0.5, 0.0, 0.01, 0.0)
    >>> separate = Separate([member], x, y, [lambda generator: Perceptron(2, (4,), 1, 0.5, 0.0, generator)], 4)
    >>> separate.step(share=1.0)
    >>> separate.answer(x).shape
    torch.Size([1, 6, 1])
    """

    def __init__(
        self,
        members: Sequence[Member],
        x: Tensor,
        y: Tensor,
        builds: Sequence[Build],
        batch: int,
        between: Between | None = None,
        lesson: Lesson | None = None,
    ) -> None:
        self.members = list(members)
        self.steps = 0
        self._learners = [
            _Learner(member, x[member.rows], y[member.rows], build, batch, between, lesson)
            for member, build in zip(members, builds, strict=True)
        ]

    @property
    def networks(self) -> list[nn.Module]:
        """The networks of `members`."""
        return [learner.network for learner in self._learners]

    def step(self, share: float) -> None:
        """Learn from the next batch, at a share of each member's highest learning rate."""
        for learner in self._learners:
            learner.step(share, self.steps)
        self.steps += 1

    def loss(self) -> Tensor:
        """Each member's mean training loss a row, masks on, since the last call."""
        return torch.tensor([learner.mean_loss() for learner in self._learners])

    def answer(self, x: Tensor) -> Tensor:
        """Outputs `(M, rows, outputs)` of each member for its own of the sets `x`, `(R, rows, ...)`, dropout off."""
        return torch.stack([learner.answer(x[learner.member.rows]).cpu() for learner in self._learners])

    def keep(self, positions: Sequence[int]) -> None:
        """Go on with some of the members, by position."""
        self.members = [self.members[position] for position in positions]
        self._learners = [self._learners[position] for position in positions]

    def remember(self, positions: Sequence[int]) -> None:
        """The present states of some of the members are their best, with their buffers."""
        for position in positions:
            self._learners[position].remember()

    def best(self, position: int) -> dict[str, Tensor]:
        """A copy of a member's best state, as its network's `load_state_dict` takes it."""
        return {name: value.clone().cpu() for name, value in self._learners[position].best.items()}


def answers(network: nn.Module, x: Tensor) -> Tensor:
    """A network's outputs for rows, in evaluation mode, a part of the rows at a time. It stays in this mode."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(part) for part in x.split(ANSWERED)])


class _Learner:
    """One network, its optimiser, and the rows that it has yet to visit."""

    def __init__(
        self,
        member: Member,
        x: Tensor,
        y: Tensor,
        build: Build,
        batch: int,
        between: Between | None,
        lesson: Lesson | None,
    ) -> None:
        self.member, self._x, self._y, self._batch, self._lesson = member, x, y, batch, lesson
        seed = fold_in(member.key, WEIGHTS)
        with torch_seeded(seed):
            self.network = build(torch.Generator().manual_seed(seed)).to(x.device)
        self._optimiser = adamw(self.network, member.lr, member.weight_decay)
        self._order = torch.Generator().manual_seed(fold_in(member.key, ORDER))
        self._masks = fold_in(member.key, MASKS)
        layers = len(self.network.dropout) + 1 if isinstance(self.network, Perceptron) else 0
        self._keys = [fold_in(self._masks, layer) for layer in range(layers)]
        self._least_rows = 2 if any(isinstance(module, BatchNorm) for module in self.network.modules()) else 1
        ours = () if isinstance(self.network, Perceptron) else tuple(sites(self.network))
        self._stream = Stream(self.network, self._masks) if ours else None
        self._batches: list[Tensor] = []  # of the running epoch, last first
        self._loss, self._seen = 0.0, 0
        self._between = None if between is None else between(self.network)
        self._now(0)
        self.remember()

    def step(self, share: float, step: int) -> None:
        rows = self._next_rows()
        for group in self._optimiser.param_groups:
            group["lr"] = self.member.lr * share
        self.network.train()
        self._optimiser.zero_grad()
        loss = training_loss(*self._train_forward(self._x[rows], self._y[rows], step))
        loss.backward()
        self._optimiser.step()
        self._loss += loss.item() * len(rows)
        self._seen += len(rows)
        self._now(step + 1)

    def _now(self, steps: int) -> None:
        if self._between is not None:
            self._between(steps)

    def answer(self, x: Tensor) -> Tensor:
        return answers(self.network, x.to(self._x.device))

    def mean_loss(self) -> float:
        mean = self._loss / max(self._seen, 1)
        self._loss, self._seen = 0.0, 0
        return mean

    def remember(self) -> None:
        self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def _train_forward(self, x: Tensor, y: Tensor, step: int) -> tuple[Tensor, Tensor]:
        if isinstance(self.network, Perceptron):
            return self.network(x, fold_numbers(self._keys, step) if self.network.drops else None), y
        with torch_seeded(fold_in(self._masks, step)), self._keyed():
            return (self.network(x), y) if self._lesson is None else self._lesson(self.network, x, y)

    @contextmanager
    def _keyed(self) -> Iterator[None]:
        """Within it, the network's layers of ours draw by this step's keys."""
        if self._stream is None:
            yield
            return
        with warnings.catch_warnings():  # of torch's own noise, whose generator is seeded here
            warnings.filterwarnings("ignore", "`stream`: some noise is torch's own", UserWarning)
            with self._stream as stream:
                yield
                stream.step()

    def _next_rows(self) -> Tensor:
        while not self._batches:
            order = torch.randperm(len(self._x), generator=self._order, device="cpu")
            split = order.to(self._x.device).split(self._batch)
            self._batches = [rows for rows in split if len(rows) >= self._least_rows][::-1]
        return self._batches.pop()
