"""How the estimators train: until the held-out loss has stopped falling, or for all epochs."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..fit.loop import Course, Loop
from ..fit.loss import training_loss
from ..fit.perceptron import Perceptron

WARM_UP = 0.05  # the share of all steps over which the learning rate rises; from there it falls to 0 in half a cosine


@dataclass
class History:
    """What happened, epoch after epoch."""

    loss: list[float] = field(default_factory=list)  # with dropout, a mean over the epoch
    held_out: list[float] = field(default_factory=list)  # without; empty where no rows were held out
    best: int = 0  # the epoch, from 1, whose weights the network has


def train(
    network: Perceptron,
    x: Tensor,
    y: Tensor,
    held_out: tuple[Tensor, Tensor] | None,
    course: Course,
    *,
    owner: str,
    patience: int,
    weights: tuple[Tensor, Tensor] | None = None,
    verbose: bool = False,
) -> History:
    """Train, and leave the network in evaluation mode with the weights of its best epoch.

    Without held-out rows all epochs are run, and the last is the best.

    Arguments:
        owner: the estimator's name, for errors and progress.
        patience: epochs without a better held-out loss, after which training stops.
        weights: of the losses of the rows, and of those held out; all 1 by default.
        verbose: print the losses of each epoch.

    Raises: ValueError when the loss is no longer a number.
    """
    loop = Loop(network, x, y, course, None if weights is None else weights[0])
    history, least, best_weights = History(), math.inf, network.state_dict()
    for epoch in range(1, course.epochs + 1):
        loss_sum = torch.zeros((), device=x.device)
        for loss, rows in loop.epoch():
            loss_sum += loss * rows
        history.loss.append(_finite(loss_sum.item() / len(x), epoch, owner, course.lr))
        network.eval()
        if held_out is not None:
            with torch.no_grad():
                value = training_loss(network(held_out[0]), held_out[1], None if weights is None else weights[1]).item()
            history.held_out.append(_finite(value, epoch, owner, course.lr))
            if value < least:
                least, history.best, best_weights = value, epoch, copy.deepcopy(network.state_dict())
        if verbose:
            seen = f", held out {history.held_out[-1]:.4f}" if history.held_out else ""
            print(f"{owner}: epoch {epoch}: loss {history.loss[-1]:.4f}{seen}")  # noqa: T201
        if held_out is not None and epoch - history.best >= patience:
            break
    if held_out is None:
        history.best = course.epochs
    else:
        network.load_state_dict(best_weights)
    return history


def lr_share(step: int, steps: int) -> float:
    """The share of the highest learning rate that a step has."""
    done = step / steps
    if done < WARM_UP:
        return (done + 0.02 * WARM_UP) / (1.02 * WARM_UP)
    return 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1.0 - WARM_UP))


def _finite(loss: float, epoch: int, owner: str, lr: float) -> float:
    if math.isfinite(loss):
        return loss
    raise ValueError(
        f"`{owner}.fit`: the loss must be finite. Got {loss} in epoch {epoch}: training diverged. Pass a "
        f"smaller lr than {lr:g}."
    )
