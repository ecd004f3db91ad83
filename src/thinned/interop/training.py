"""How the estimators train: AdamW on mini-batches, until the held-out loss has stopped falling."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..noise import fold_in
from .perceptron import Perceptron

WARM_UP = 0.05  # the share of all steps over which the learning rate rises; from there it falls to 0 in half a cosine


@dataclass(frozen=True)
class Course:
    """What training is told."""

    owner: str  # the estimator's name, for errors and progress
    lr: float
    weight_decay: float
    batch: int
    epochs: int
    patience: int  # epochs without a better held-out loss, after which training stops
    order: int  # seed of the order of rows
    masks: int  # key of the masks
    verbose: bool


@dataclass
class History:
    """What happened, epoch after epoch."""

    loss: list[float] = field(default_factory=list)  # with dropout, a mean over the epoch
    held_out: list[float] = field(default_factory=list)  # without; empty where no rows were held out
    best: int = 0  # the epoch, from 1, whose weights the network has


def train(network: Perceptron, x: Tensor, y: Tensor, held_out: tuple[Tensor, Tensor] | None, course: Course) -> History:
    """Train, and leave the network in evaluation mode with the weights of its best epoch.

    The loss is the cross-entropy for integer targets, else the squared error. Weight decay is decoupled and spares
    biases. Without held-out rows all epochs are run, and the last is the best.

    Raises: ValueError when the loss is no longer a number.
    """
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in network.parameters() if parameter.ndim == 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": course.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=course.lr, fused=True)
    order = torch.Generator().manual_seed(course.order)
    layers = [fold_in(course.masks, layer) for layer in range(len(network.dropout) + 1)]
    total = course.epochs * -(-len(x) // course.batch)
    history, best, kept, step = History(), math.inf, network.state_dict(), 0
    for epoch in range(1, course.epochs + 1):
        network.train()
        loss_sum = torch.zeros((), device=x.device)
        for rows in torch.randperm(len(x), generator=order, device="cpu").to(x.device).split(course.batch):
            for group in optimiser.param_groups:
                group["lr"] = course.lr * _share(step / total)
            keys = [fold_in(layer, step) for layer in layers] if network.drops else None
            optimiser.zero_grad()
            loss = _loss(network(x[rows], keys), y[rows])
            loss.backward()
            optimiser.step()
            loss_sum += loss.detach() * len(rows)
            step += 1
        history.loss.append(_finite(loss_sum.item() / len(x), epoch, course))
        network.eval()
        if held_out is not None:
            with torch.no_grad():
                value = _finite(_loss(network(held_out[0]), held_out[1]).item(), epoch, course)
            history.held_out.append(value)
            if value < best:
                best, history.best, kept = value, epoch, copy.deepcopy(network.state_dict())
        if course.verbose:
            seen = f", held out {history.held_out[-1]:.4f}" if history.held_out else ""
            print(f"{course.owner}: epoch {epoch}: loss {history.loss[-1]:.4f}{seen}")  # noqa: T201
        if held_out is not None and epoch - history.best >= course.patience:
            break
    if held_out is None:
        history.best = course.epochs
    else:
        network.load_state_dict(kept)
    return history


def _share(done: float) -> float:
    """Of the learning rate, when this share of all steps is done."""
    if done < WARM_UP:
        return (done + 0.02 * WARM_UP) / (1.02 * WARM_UP)
    return 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1.0 - WARM_UP))


def _loss(output: Tensor, y: Tensor) -> Tensor:
    if y.dtype == torch.int64:
        return functional.cross_entropy(output, y)
    return functional.mse_loss(output, y)


def _finite(loss: float, epoch: int, course: Course) -> float:
    if math.isfinite(loss):
        return loss
    raise ValueError(
        f"`{course.owner}.fit`: the loss must be finite. Got {loss} in epoch {epoch}: training diverged. Pass a "
        f"smaller lr than {course.lr:g}."
    )
