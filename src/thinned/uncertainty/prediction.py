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

    For classification the sampled outputs are softmax probabilities, so that `mean` is the predictive distribution.
    Tensors are float32, on the CPU.
    """

    mean: Tensor  # (N, ...)
    std: Tensor  # (N, ...), over the samples, with n - 1 in the denominator; 0 for one sample
    quantiles: Tensor  # (len(levels), N, ...)
    levels: tuple[float, ...]  # of the quantiles
    n: int  # how many thinned networks
    seed: int
    task: str  # "classification" or "regression"
    places: tuple[str, ...]  # the names of the places that drew noise
    engine: str  # "vmap", or "loop: " and why the samples could not run as one batch
    samples: Tensor | None = None  # (n, N, ...), if asked for
    sampled_entropy: Tensor | None = None  # (N,): the mean of the samples' entropies, for classification
    votes: Tensor | None = None  # (N, classes): in how many samples the class is the most probable one

    @property
    def probability(self) -> Tensor:
        """`(N, classes, ...)`: the mean over the samples of their class probabilities."""
        self._classifies("probability")
        return self.mean

    @property
    def label(self) -> Tensor:
        """`(N, ...)`: the most probable class."""
        return self.probability.argmax(1)

    @property
    def max_probability(self) -> Tensor:
        """`(N, ...)`: the probability of the most probable class."""
        return self.probability.amax(1)

    @property
    def entropy(self) -> Tensor:
        """`(N, ...)`: predictive entropy, `-sum_c p_c ln p_c` of the mean probabilities, in nats."""
        return entropy(self.probability, 1)

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
        """`(N, ...)`: the share of samples that do not vote for the class with the most votes."""
        self._classifies("variation_ratio")
        assert self.votes is not None
        return 1.0 - self.votes.amax(1) / self.n

    def _classifies(self, name: str) -> None:
        if self.task != "classification":
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
        if self.task == "classification":
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


def joined(parts: Sequence[Prediction]) -> Prediction:
    """The predictions of consecutive rows as one."""
    first = parts[0]

    def cat(name: str, dim: int = 0) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values, dim)

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
    )
