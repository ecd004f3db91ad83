"""`thinned.predict`: Monte-Carlo dropout on any model, in evaluation mode, with noise by key."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..frameworks import keras_tools
from .answer import Select
from .live import Rates
from .prediction import Prediction
from .predictor import LEVELS, MEMORY, Predictor
from .remembered import remembered

Module = torch.nn.Module


def predict(
    model: Module,
    x: Any,
    n: int = 50,
    *,
    seed: int = 0,
    task: str = "regression",
    class_axis: int | None = None,
    temperature: float = 1.0,
    sites: str | Sequence[str] | None = None,
    p: Rates = None,
    shared_masks: bool = False,
    samples: bool = False,
    levels: Sequence[float] = LEVELS,
    memory: int = MEMORY,
    inputs: Callable[[Any], Any] | None = None,
    output: str | Callable[[Any], Tensor] | None = None,
    select: Select = None,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> Prediction:
    """Predict with n thinned networks: the mean of their outputs, and how much they differ.

    Every place that draws noise in training draws it here too, by key: dropout modules and functions, attention and
    recurrent layers, DropPath, DropBlock, masks made by hand. Everything else runs as in evaluation mode; for instance,
    batch normalisation uses its running statistics. Afterwards model, buffers, hooks and random state are what they
    were before, after an exception too.

    `mean = (1/n) sum_t f(x; masks_t)`. With task="classification", f is the softmax of the model's logits; with
    "multilabel", the sigmoid of each.

    Arguments:
        model: any module, in training mode or in evaluation mode. Or a Keras model, for which this is
            `thinned.interop.keras.predict`: answers for classes are probabilities by default, and what is for torch
            alone is refused.
        x: the arguments of the model's call, with rows on axis 0: a tensor, or a tuple or dict of tensors. Or a
            DataLoader, whose batches are predicted one after another. If the answer to a row depends on other rows (the
            nodes of a graph, time on axis 0), a batch is not divided, and its masks belong to the whole batch; `engine`
            says so.
        n: how many thinned networks.
        seed: the same seed gives the same networks, whatever the batch size, chunks, device or threads.
        task: "regression": the statistics are those of the outputs. "classification": each row, or each position in it,
            has one of several classes; the outputs are logits, and the statistics are those of their softmax. One logit
            stands for two classes. "multilabel": a row has any number of labels; the statistics are those of the
            sigmoid of each logit.
        class_axis: the axis of the model's answer that has the classes, with the rows on axis 0. By default it is 1 for
            answers `(N, classes)`, and the last axis where `(B, T, classes)` is called `logits`, as Hugging Face has
            it. Any other answer of three axes or more is refused without it: pass 1 for images `(B, C, H, W)`, and -1
            for tokens `(B, T, C)`.
        temperature: the number that logits are divided by, as `calibrate` fits it; for classification only.
        sites: patterns for the names of the places that are to draw, as `thinned.inspect` has them; all by default. The
            other places stay off.
        p: other rates for this call: one for all places, or a mapping from patterns to rates.
        shared_masks: every sample is one thinned network for all rows, so that it is a function of x. By default each
            row has its own masks.
        samples: return the samples too, in n times the memory of the outputs.
        levels: the levels of the quantiles over the samples.
        memory: about how many bytes one chunk of rows and samples may take.
        inputs: a function `batch -> x`, which takes the model's arguments from a batch. By default they are the first
            item of a tuple or list, a dict without "label" and "labels", or else the batch itself.
        output: what the model answers with for classes and labels, "logits" or "probabilities". Logarithms of
            probabilities are logits too: softmax gives the probabilities back. By default logits, but an answer that
            looks like probabilities, or like a multiple of them, is refused. A function is taken as `select`.
        select: the tensor in the model's answer: its name, its place, or a function that takes the answer and gives the
            tensor. By default the answer itself, its `logits`, the only tensor in a dictionary or dataclass, or the
            first one in a tuple.
        device: the device that batches are moved to; by default that of the model's parameters.
        progress: whether to count batches on stderr while a DataLoader is read; by default if stderr is a terminal.

    Raises:
        ValueError: an argument is out of its range.
        ValueError: `class_axis` is needed and not given, or the answer has no such axis.
        ValueError: probabilities are taken for logits, or numbers that are none for probabilities.
        ValueError: the answer has several tensors by name, none of them `logits`, and `select` is not given.
        ValueError: nothing is random.
        ValueError: a pattern matches no place.
        ValueError: a place can't take the p given for it.
        ValueError: the noise of a place can't be left out, or can't be drawn by key.
        ValueError: `shared_masks` is given for a model in which rows depend on one another.
        ValueError: the answer has another form in training mode, or not the same shape in all samples.
        NotImplementedError: the model draws by hand from a law that can't be drawn by key.
        RuntimeError: no place draws noise, although some did when the model was inspected.
        TypeError: a model or x of the wrong kind.

    The result is no posterior. Its spread is that of the networks that dropout trained, and it can fail to grow away
    from the training data (docs/guides/predict.md shows how to test this).

    Cost: one inspection, in about six passes over two rows; none where the model is made of torch's own layers alone,
    and neither it nor the form of `x` has changed since an earlier call. For each chunk, the calls before the first
    noise once, and all later calls n times; the samples run as one batch where `torch.func.vmap` can do so. Only the
    statistics need more memory for more data. Source: Gal and Ghahramani 2016.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
    >>> found = predict(net, torch.ones(3, 2), n=20, seed=1)
    >>> tuple(found.mean.shape), bool((found.std > 0).all())
    ((3, 1), True)
    """
    asked: dict[str, Any] = {
        "seed": seed,
        "task": task,
        "class_axis": class_axis,
        "temperature": temperature,
        "sites": sites,
        "p": p,
        "samples": samples,
        "levels": levels,
        "output": output,
    }
    torchs: dict[str, Any] = {"shared_masks": shared_masks, "select": select, "device": device}
    if "keras" in sys.modules and (tools := keras_tools(model)) is not None:
        torchs |= {"memory": memory != MEMORY and memory, "inputs": inputs, "progress": progress}
        return tools.predict(model, x, n, **asked, **torchs)  # type: ignore[no-any-return]
    ask = Predictor(model, n, **asked, **torchs, memory=memory)
    if inputs is not None:
        return ask(x, inputs=inputs, progress=progress)
    with remembered(ask, model, x):
        return ask(x, progress=progress)
