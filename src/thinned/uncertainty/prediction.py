"""`Prediction`: the mean over thinned networks, how much they differ, and the uncertainty of each row from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Prediction:
    """A Monte-Carlo prediction, one row of every tensor for each row of the data.

    For classification the sampled outputs are softmax probabilities, so that `mean` is the predictive distribution. For
    several labels they are sigmoid probabilities, one for each label. Tensors are float32, on the CPU.
    """

    mean: Tensor  # (N, ...)
    std: Tensor  # (N, ...), over the samples, with n - 1 in the denominator; 0 for one sample
    quantiles: Tensor  # (len(levels), N, ...)
    levels: tuple[float, ...]  # of the quantiles
    n: int  # how many thinned networks
    seed: int
    task: str  # "regression", "classification", or "multilabel"
    places: tuple[str, ...]  # the names of the places that drew noise
    engine: str  # "vmap", or "loop: " and why the samples could not run as one batch
    samples: Tensor | None = None  # (n, N, ...), if asked for
    sampled_entropy: Tensor | None = None  # (N, ...): the mean of the samples' entropies, for classes and labels
    votes: Tensor | None = None  # shaped as `mean`: in how many samples the class is the most probable, or the label on
    class_axis: int = 1  # the axis of `mean` with the classes

    @property
    def probability(self) -> Tensor:
        """`(N, classes, ...)`: the mean over the samples of their class probabilities.

        The classes are on axis `class_axis`. For several labels, `(N, labels, ...)`: the probability of each label.
        """
        self._classifies("probability")
        return self.mean

    @property
    def label(self) -> Tensor:
        """`(N, ...)`: the most probable class. For several labels, `(N, labels, ...)`: 1 where a label is likely."""
        if self.task == "multilabel":
            return (self.probability > 0.5).long()
        return self.probability.argmax(self.class_axis)

    @property
    def max_probability(self) -> Tensor:
        """`(N, ...)`: the probability of `label`; for several labels, of each label's being as `label` has it."""
        if self.task == "multilabel":
            return torch.maximum(self.probability, 1.0 - self.probability)
        return self.probability.amax(self.class_axis)

    @property
    def entropy(self) -> Tensor:
        """`(N, ...)`: predictive entropy, `-sum_c p_c ln p_c` of the mean probabilities, in nats; of each label."""
        if self.task == "multilabel":
            return binary_entropy(self.probability)
        self._classifies("entropy")
        return entropy(self.probability, self.class_axis)

    @property
    def mutual_information(self) -> Tensor:
        """`(N, ...)`: the mutual information of label and network (BALD).

        The predictive entropy minus the mean entropy of the samples, in nats, 0 or more. Source: Houlsby et al. 2011;
        Gal, Islam and Ghahramani 2017.
        """
        self._classifies("mutual_information")
        assert self.sampled_entropy is not None
        return (self.entropy - self.sampled_entropy).clamp_min(0.0)

    @property
    def variation_ratio(self) -> Tensor:
        """`(N, ...)`: the share of samples that do not vote for what has the most votes."""
        self._classifies("variation_ratio")
        assert self.votes is not None
        if self.task == "multilabel":
            return 1.0 - torch.maximum(self.votes, self.n - self.votes) / self.n
        return 1.0 - self.votes.amax(self.class_axis) / self.n

    def _classifies(self, name: str) -> None:
        if self.task == "regression":
            raise ValueError(
                f"`{name}`: only a prediction of classes has it. Got one of task='regression'. Call "
                "predict(..., task='classification') on a model whose outputs are logits."
            )

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a DataFrame: mean, std and quantiles of each output; for classes, label and uncertainties."""
        import pandas

        columns: dict[str, Any] = {}
        if self.task == "classification" and self.mean.ndim == 2:
            columns = {
                "label": self.label,
                "probability": self.max_probability,
                "entropy": self.entropy,
                "mutual_information": self.mutual_information,
                "variation_ratio": self.variation_ratio,
            }
        elif self.task == "multilabel":
            for name in ("label", "max_probability", "entropy", "mutual_information"):
                values = getattr(self, name)
                flat = values.flatten(1) if values.ndim > 1 else values[:, None]
                columns.update({f"{name}_{number}": flat[:, number] for number in range(flat.shape[1])})
        else:
            flat = self.mean.flatten(1) if self.mean.ndim > 1 else self.mean[:, None]
            for output in range(flat.shape[1]):
                of = f"_{output}" if flat.shape[1] > 1 else ""
                columns[f"mean{of}"] = flat[:, output]
                columns[f"std{of}"] = self.std.reshape(flat.shape)[:, output]
                for level, values in zip(self.levels, self.quantiles, strict=True):
                    columns[f"q{level:g}{of}"] = values.reshape(flat.shape)[:, output]
        return pandas.DataFrame({name: values.numpy() for name, values in columns.items()})

    def __repr__(self) -> str:
        what = f"{tuple(self.mean.shape)}, {self.n} samples, seed {self.seed}, {self.task}"
        if self.task != "regression":
            said = (
                f"mean entropy {self.entropy.mean():.3g}, mutual information {self.mutual_information.mean():.3g} nats"
            )
        else:
            said = f"mean standard deviation {self.std.mean():.3g}"
        return f"<Prediction {what}: {said}; noise at {len(self.places)} places, {self.engine}>"


def entropy(probability: Tensor, dim: int) -> Tensor:
    """`-sum p ln p` along an axis; 0 ln 0 is 0."""
    nats: Tensor = torch.special.entr(probability).sum(dim)
    return nats


def binary_entropy(probability: Tensor) -> Tensor:
    """`-p ln p - q ln q` with q = 1 - p, of each number."""
    nats: Tensor = torch.special.entr(probability) + torch.special.entr(1.0 - probability)
    return nats


def joined(parts: Sequence[Prediction]) -> Prediction:
    """The predictions of consecutive rows as one."""
    first = parts[0]

    def cat(name: str, dim: int = 0) -> Any:
        values = [getattr(part, name) for part in parts]
        if values[0] is None:
            return None
        shapes = list(dict.fromkeys((*value.shape[:dim], *value.shape[dim + 1 :]) for value in values))
        if len(shapes) > 1:
            found = dict.fromkeys(tuple(part.mean.shape[1:]) for part in parts)
            raise ValueError(
                "`predict`: rows of all batches must have answers of one shape. Got "
                f"{' and '.join(map(str, found))}. Pad all batches to one length, or predict each by a `Predictor`."
            )
        return torch.cat(values, dim)

    return Prediction(
        mean=cat("mean"),
        std=cat("std"),
        quantiles=cat("quantiles", 1),
        levels=first.levels,
        n=first.n,
        seed=first.seed,
        task=first.task,
        places=first.places,
        engine=parts[-1].engine,
        samples=cat("samples", 1),
        sampled_entropy=cat("sampled_entropy"),
        votes=cat("votes"),
        class_axis=first.class_axis,
    )
