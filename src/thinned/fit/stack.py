"""Many networks of one shape that learn side by side, a step at a time, each as it would by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..noise import fold_in
from ..ops.fold import fold_numbers
from ..ops.stacked import drop_each
from .stacked_adamw import StackedAdamW
from .stacked_perceptron import StackedPerceptron, first_state

WEIGHTS, ORDER, MASKS = range(3)  # children of a member's key


@dataclass(frozen=True)
class Member:
    """A network of a stack.

    Equal keys give equal first weights, orders of rows and masks; masks are nested in p. So members that differ in
    their rates alone are compared on paired noise.
    """

    rows: int  # which of the stack's training sets it learns from
    key: int  # decides first weights, order and masks
    p: float  # the probability that a hidden unit is dropped
    p_input: float  # that an input is
    lr: float  # the highest learning rate
    weight_decay: float  # decoupled; of weights, not of biases
    alone: int | None = None  # the number of the one hidden layer that drops; None for all
    p_output: float = 0.0  # the probability that an output, a logit or a value, is dropped


class Stack:
    """Networks under training. A step costs about a fifth of what as many separate small networks cost.

    Each member visits the rows that `fit.loop.Loop` would visit with `order=fold_in(key, 1)`, under the masks of
    `masks=fold_in(key, 2)`, from the first weights of a generator seeded with `fold_in(key, 0)`.

    Arguments:
        members: members of equal learning rate and weight decay should be neighbours: each run of them is one call of
            the optimiser.
        x, y: training sets, `(R, n, inputs)` and `(R, n)`; y is int64 for classes, else float32. Their device trains.
        outputs: of a network: the number of classes, or 1.
        hidden: units a hidden layer.
        batch: rows a step.

    >>> x, y = torch.ones(1, 6, 2), torch.zeros(1, 6)
    >>> stack = Stack([Member(0, key, 0.5, 0.0, 0.01, 0.0) for key in (1, 2)], x, y, 1, (4,), 4)
    >>> stack.step(share=1.0)
    >>> stack.answer(x).shape
    torch.Size([2, 6, 1])
    """

    def __init__(
        self, members: Sequence[Member], x: Tensor, y: Tensor, outputs: int, hidden: Sequence[int], batch: int
    ) -> None:
        sizes = (x.shape[2], *hidden, outputs)
        firsts = {key: first_state(sizes, fold_in(key, WEIGHTS)) for key in {member.key for member in members}}
        self.members = list(members)
        self.network = StackedPerceptron(
            [{name: value.to(x.device) for name, value in firsts[member.key].items()} for member in members],
            [member.p for member in members],
            [member.p_input for member in members],
            [member.alone for member in members],
        )
        self._optimiser = StackedAdamW(self.network.leaves, [(member.lr, member.weight_decay) for member in members])
        self._rows = x.shape[1]
        self._x, self._y = x.reshape(-1, x.shape[2]), y.reshape(-1)
        self._batch = batch
        self._orders = {key: torch.Generator().manual_seed(fold_in(key, ORDER)) for key in firsts}
        self._mask_keys = {
            key: [fold_in(fold_in(key, MASKS), layer) for layer in range(len(hidden) + 1)] for key in firsts
        }
        self._layers = len(hidden) + 1
        self._batches: list[Tensor] = []  # of the running epoch, last first
        self._loss, self._seen = torch.zeros(len(members), device=x.device), 0
        self.steps = 0
        self._best = [leaf.clone() for leaf in self.network.leaves]

    def step(self, share: float) -> None:
        """Learn from the next batch, at a share of each member's highest learning rate."""
        with torch.no_grad():
            rows = self._next_rows()
            size = rows.shape[1]
            flat = rows.reshape(-1).to(self._x.device)
            x = self._x.index_select(0, flat).view(len(self.members), size, -1)
            y = self._y.index_select(0, flat).view(len(self.members), size)
            keys = self._keys()
            output = self.network.train_forward(x, keys)
            p_outputs = [member.p_output for member in self.members]
            if keys is None or not any(p_outputs):
                loss, grad = loss_and_gradient(output, y)
            else:
                own = [fold_in(key, 1) for key in keys[-1]]
                drop_each(output, p_outputs, own)
                loss, grad = loss_and_gradient(output, y)
                drop_each(grad, p_outputs, own)  # dropout is its own gradient
            self.network.backward(grad)
            self._optimiser.step(self.network.leaves, self.network.grads, share)
            self._loss += loss
        self._seen += size
        self.steps += 1

    def loss(self) -> Tensor:
        """Each member's mean training loss a row, masks on, since the last call."""
        mean = (self._loss / max(self._seen, 1)).cpu()
        self._loss, self._seen = torch.zeros_like(self._loss), 0
        return mean

    def answer(self, x: Tensor) -> Tensor:
        """Outputs `(M, rows, outputs)` of each member for its own of the sets `x`, `(R, rows, inputs)`, dropout off."""
        sets = torch.tensor([member.rows for member in self.members])
        with torch.no_grad():
            parts = x.split(self.network.rows_at_once(), dim=1)
            device = self._x.device
            return torch.cat([self.network.answer(part[sets].to(device)).cpu() for part in parts], dim=1)

    def keep(self, positions: Sequence[int]) -> None:
        """Go on with some of the members, by position, as if the others had never been."""
        chosen = torch.tensor(positions, dtype=torch.int64)
        here = chosen.to(self._x.device)
        self.members = [self.members[position] for position in positions]
        self.network.keep(chosen)
        self._best = [best[here] for best in self._best]
        self._optimiser.keep(chosen)
        self._loss = self._loss[here]
        self._batches = [rows[chosen] for rows in self._batches]

    def remember(self, positions: Sequence[int]) -> None:
        """The present weights of some of the members are their best. First of all the first weights are."""
        chosen = torch.tensor(positions, dtype=torch.int64).to(self._x.device)
        for best, leaf in zip(self._best, self.network.leaves, strict=True):
            best.index_copy_(0, chosen, leaf.index_select(0, chosen))

    def best(self, position: int) -> dict[str, Tensor]:
        """A copy of a member's best weights, as `Perceptron.load_state_dict` takes them."""
        return {name: value.cpu() for name, value in self.network.state(position, self._best).items()}

    def _next_rows(self) -> Tensor:
        """Row numbers `(M, batch)`, as the sets lie one after another; the last batch of an epoch may be smaller."""
        if not self._batches:
            orders = {
                key: torch.randperm(self._rows, generator=self._orders[key], device="cpu")
                for key in dict.fromkeys(member.key for member in self.members)
            }
            order = torch.stack([orders[member.key] + member.rows * self._rows for member in self.members])
            self._batches = list(order.split(self._batch, dim=1))[::-1]
        return self._batches.pop()

    def _keys(self) -> list[list[int]] | None:
        """This step's keys: for each hidden layer, and then for the inputs, each member's."""
        if not self.network.drops and not any(member.p_output for member in self.members):
            return None
        now = {
            key: fold_numbers(self._mask_keys[key], self.steps)
            for key in dict.fromkeys(member.key for member in self.members)
        }
        return [[now[member.key][layer] for member in self.members] for layer in range(self._layers)]


def loss_and_gradient(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What `training_loss` is for each network, summed over rows, and the gradient of its mean: `(M,)` and as `output`.

    >>> loss_and_gradient(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[1.0, 4.0]]))
    (tensor([4.]), tensor([[[ 0.],
             [-2.]]]))
    """
    rows = output.shape[1]
    if y.dtype == torch.int64:
        log_probability = functional.log_softmax(output, dim=2)
        truth = y.unsqueeze(2)
        loss = log_probability.gather(2, truth).sum((1, 2)).neg_()
        grad = log_probability.exp_()
        grad.scatter_add_(2, truth, grad.new_tensor(-1.0).expand(truth.shape))
        return loss, grad.div_(rows)
    residual = output - y.unsqueeze(2)
    return residual.square().sum((1, 2)), residual.mul_(2 / rows)


def squared_error(output: Tensor, y: Tensor) -> Tensor:
    """Each network's mean squared error, of the probabilities (Brier 1950) for classes, `(M,)`, for outputs
    `(M, rows, outputs)`.

    >>> squared_error(torch.zeros(1, 4, 2), torch.zeros(1, 4, dtype=torch.int64))
    tensor([0.5000])
    """
    if y.dtype == torch.int64:
        wrong = functional.softmax(output, dim=2)
        wrong.scatter_add_(2, y.unsqueeze(2), wrong.new_tensor(-1.0).expand(*y.shape, 1))
        return wrong.square_().sum(2).mean(1)
    return (output - y.unsqueeze(2)).square_().mean((1, 2))
