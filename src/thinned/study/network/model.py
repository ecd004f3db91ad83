"""`StudyModel`: the networks of a study as one model, which predicts from columns as the user has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ...fit.perceptron import Perceptron
from ...fit.separate import answers
from ..answer.together import offsets, probabilities, together
from ..data.as_frame import as_frame
from ..data.column import Column, Place, pixel_columns, read_columns, row_of
from ..data.dataset import pixel_frame
from ..data.image_form import ImageForm
from ..data.overrule import TextForm
from ..data.prepare import Preparation
from ..data.words import WordsPlan
from ..error import StudyError
from ..networks.named import NetworkName, made
from ..networks.shape import InputShape


@dataclass(frozen=True)
class EnsembleMember:
    """One of the networks to take away: one seed's, with the preparation that was fitted on its training rows.

    `mean` and `scale` are those of its training rows' target: 0 and 1 for classes. `weights` are the network's, of the
    name `kind`; `shape` is what a row is for it, where it is no perceptron.
    """

    seed: int
    lr: float
    preparation: Preparation
    weights: dict[str, NDArray[Any]]
    mean: float = 0.0
    scale: float = 1.0
    kind: NetworkName = "perceptron"
    shape: InputShape | None = None

    def network(self, hidden: tuple[int, ...], outputs: int, p: float, p_input: float) -> nn.Module:
        """The network, in evaluation mode. Raises RuntimeError where the weights have another shape."""
        shape = self.shape or InputShape(self.preparation.inputs)
        with torch.random.fork_rng(devices=[]):
            network = made(self.kind, shape, hidden, outputs, p, p_input)
        network.load_state_dict({name: torch.tensor(value) for name, value in self.weights.items()})
        return network.eval()


@dataclass(frozen=True)
class StudyRows:
    """Rows as the networks' training read them, from `StudyModel.rows`."""

    values: pd.DataFrame


@dataclass(frozen=True)
class StudyModel:
    """The trained networks of a study, one a seed, each with its preprocessing; their mean is the prediction.

    `X` has the columns that the networks were trained on, in any order; others are left aside. It is a DataFrame, a
    table of pyarrow or polars, a mapping from names to columns, or an array with fields; or an array with these columns
    in their order; or pictures `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`, where the networks learnt from pictures
    of this size, of which `image` is the form. Values may be missing, and text may be new. What a column is, and how
    its numbers and dates are written, was learnt in training: a row's answer depends on this row alone.

    `networks` are `members` as modules, in evaluation mode, on `device`; what they answer is the CPU's again.
    `temperature` is applied to the mean probability. `residuals` are target minus out-of-fold answer, ascending, in the
    target's units.
    """

    networks: tuple[nn.Module, ...]
    members: tuple[EnsembleMember, ...] = field(repr=False)
    classes: tuple[str | int | bool, ...]
    temperature: float
    residuals: NDArray[np.float64] = field(repr=False)
    reading: tuple[Column, ...] = field(default=(), repr=False)
    image: ImageForm | None = None
    device: str = "cpu"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `X`."""
        return self.members[0].preparation.columns

    @property
    def words(self) -> WordsPlan | None:
        """How texts are read; None where there are none."""
        words = self.members[0].preparation.words
        return None if words is None else words.plan

    def predict(self, X: pd.DataFrame | ArrayLike | StudyRows) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
        """The most probable class of each row, or for regression its value, in the target's units."""
        mean = together(self.outputs(X))
        if self.classes:
            return np.asarray(np.array(self.classes)[mean.argmax(axis=1)])
        return mean

    def predict_proba(self, X: pd.DataFrame | ArrayLike | StudyRows) -> NDArray[np.float64]:  # noqa: N803
        """Each class's probability, rows x classes in `classes`' order, with the temperature.

        Raises StudyError for regression.
        """
        if not self.classes:
            raise StudyError(
                "`predict_proba`: only a classifier has class probabilities. These networks predict a number: "
                "`predict_interval` says how sure they are."
            )
        return probabilities(together(self.outputs(X)), self.temperature)

    def predict_interval(
        self,
        X: pd.DataFrame | ArrayLike | StudyRows,  # noqa: N803
        level: float = 0.95,
    ) -> NDArray[np.float64]:
        """Two numbers a row, low and high, between which a new value lies with probability `level`, noise included.

        The probability holds over new rows like those of the study. Raises StudyError for a classifier.
        """
        if self.classes:
            raise StudyError(
                "`predict_interval`: only numbers have an interval. These networks predict a class: `predict_proba` "
                "says how sure they are."
            )
        if not 0.0 < level < 1.0:
            hint = f" If {level:g} % was meant, pass {level / 100:g}." if 1.0 <= level < 100.0 else ""
            raise StudyError(f"`predict_interval`: `level` must be above 0 and below 1. Got {level}.{hint}")
        return np.asarray(self.predict(X)[:, None] + np.array(offsets(self.residuals, level)))

    def spread(self, X: pd.DataFrame | ArrayLike | StudyRows) -> NDArray[np.float64]:  # noqa: N803
        """How much the networks differ: the standard deviation of their answers; 0 for one network.

        One number a row, in the target's units; for classes rows x classes, of the probabilities before the
        temperature. The noise of the data is not in it.
        """
        outputs = self.outputs(X)
        answers = np.stack([probabilities(output) for output in outputs] if self.classes else outputs)
        return np.asarray(answers.std(axis=0, ddof=min(1, len(answers) - 1)))

    def outputs(self, X: pd.DataFrame | ArrayLike | StudyRows) -> list[NDArray[np.float64]]:  # noqa: N803
        """Each network's own answers: logits, rows x classes; or values in the target's units."""
        found = []
        with torch.no_grad():
            for network, member, x in zip(self.networks, self.members, self.inputs(X), strict=True):
                answer = _answers(network, torch.from_numpy(x).to(self.device)).cpu()
                output: NDArray[np.float64] = answer.double().numpy()
                if not np.isfinite(output).all():
                    row = int((~np.isfinite(output).all(axis=1)).argmax())
                    raise StudyError(
                        f"`predict`: the answer to row {row + 1} is no finite number: it holds values far beyond those "
                        "of training. Mend them, or leave them empty."
                    )
                found.append(output if self.classes else output[:, 0] * member.scale + member.mean)
        return found

    def inputs(self, X: pd.DataFrame | ArrayLike | StudyRows) -> list[NDArray[np.float32]]:  # noqa: N803
        """`X` as each network takes it."""
        rows = X if isinstance(X, StudyRows) else self.rows(X)
        return [member.preparation(rows.values) for member in self.members]

    def rows(
        self,
        X: pd.DataFrame | ArrayLike,  # noqa: N803
        place: Place = row_of,
        decimal: str | None = None,
    ) -> StudyRows:
        """`X` read as in training, for several questions about the same rows.

        Arguments:
            place: words where a row is, by its number from 0.
            decimal: the decimal sign of numbers in text, if it is another than in training: "." or ",".

        Raises StudyError: a column is missing, or a value is not written as in training.
        """
        if self.image is not None and getattr(X, "ndim", 2) > 2:
            X = pixel_frame(self.image.rows("`predict`", X))  # noqa: N806
        frame = as_frame(X, self.columns)
        if not self.reading:
            return StudyRows(pixel_columns(self.columns, frame, place))
        reading, sign = self.reading, TextForm(decimal=decimal).decimal  # which refuses any but "." and ","
        if sign is not None:
            reading = tuple(column.with_decimal(sign) for column in reading)
        return StudyRows(read_columns(reading, frame, place))


def _answers(network: nn.Module, x: Tensor) -> Tensor:
    """A perceptron answers all rows at once; the maps and states of other networks would fill the memory."""
    if not isinstance(network, Perceptron):
        return answers(network, x)
    output: Tensor = network(x)
    return output


Predictor = StudyModel  # its older name, by which it can still be imported; `thinned.Predictor` is another class
