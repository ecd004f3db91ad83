"""`thinned.predict`: Monte-Carlo dropout on any model, in evaluation mode, by key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .live import Rates
from .prediction import Prediction
from .predictor import LEVELS, MEMORY, Predictor

Module = torch.nn.Module


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
    memory: int = MEMORY,
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
    away from the data (docs/guides/predict.md shows how to test that).

    Cost: the calls before the first noise once a chunk, the rest n times, in one batch where `torch.func.vmap` can.
    Memory does not grow with the data, but for the statistics themselves. Source: Gal and Ghahramani 2016.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
    >>> found = predict(net, torch.ones(3, 2), n=20, seed=1)
    >>> tuple(found.mean.shape), bool((found.std > 0).all())
    ((3, 1), True)
    """
    ask = Predictor(
        model,
        n,
        seed=seed,
        task=task,
        temperature=temperature,
        sites=sites,
        p=p,
        shared_masks=shared_masks,
        samples=samples,
        levels=levels,
        memory=memory,
        output=output,
        device=device,
    )
    return ask(x, inputs=inputs, progress=progress)
