"""The network to take away: `best.safetensors` and `config.toml`, and `load`, which turns them into predictions.

Both files are plain data: loading them runs no code that they bring.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy
import tomli_w
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError

from ...fit.perceptron import Perceptron
from ...replaced_file import replace_file
from .dataset import Dataset, StudyError
from .prepare import Preparation
from .retrained import Retrained
from .trial import Recipe

WEIGHTS = "best.safetensors"
CONFIG = "config.toml"
_FORMAT = 1
_ARRAYS = ("fill", "mean", "scale", "gaps")


@dataclass(frozen=True)
class StudyModel:
    """A trained network with its preprocessing.

    `X` is a DataFrame with the columns that the network was trained on (in any order; others are left aside), or an
    array with these columns in their order. Values may be missing, and text may be new.
    """

    network: Perceptron
    preparation: Preparation
    classes: tuple[str | int | bool, ...]
    mean: float
    scale: float
    sigma: float

    def predict(self, X: pd.DataFrame | ArrayLike) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
        """The most probable class of each row, or for regression its value, in the target's units."""
        output = self._output(X)
        if self.classes:
            return np.asarray(np.array(self.classes)[output.argmax(dim=1).numpy()])
        value: NDArray[np.float64] = output.squeeze(1).numpy() * self.scale + self.mean
        return value

    def predict_proba(self, X: pd.DataFrame | ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Each class's probability, rows x classes in `classes`' order. Raises StudyError for regression."""
        if not self.classes:
            raise StudyError(
                "`predict_proba`: only a classifier has class probabilities. This network predicts a number."
            )
        probability: NDArray[np.float64] = self._output(X).softmax(dim=1).numpy()
        return probability

    def _output(self, X: pd.DataFrame | ArrayLike) -> torch.Tensor:  # noqa: N803
        columns = self.preparation.columns
        if not isinstance(X, pd.DataFrame):
            values = np.asarray(X)
            if values.ndim != 2 or values.shape[1] != len(columns):
                raise StudyError(
                    f"`predict`: `X` must be rows x {len(columns)} columns. Got an array of shape {values.shape}. "
                    + ("For one row pass X[None]." if values.shape == (len(columns),) else "")
                )
            X = pd.DataFrame(values, columns=list(columns))  # noqa: N806
        with torch.no_grad():
            output: torch.Tensor = self.network(torch.from_numpy(self.preparation(X))).double()
        return output


Predictor = StudyModel  # its older name, by which it can still be imported; `thinned.Predictor` is another class


def save(
    folder: Path, data: Dataset, preparation: Preparation, network: Retrained, recipe: Recipe, mean: float, scale: float
) -> None:
    """Write the network and everything that its predictions need."""
    arrays = {f"network.{name}": value for name, value in network.weights.items()}
    arrays |= {f"prepare.{name}": np.ascontiguousarray(getattr(preparation, name)) for name in _ARRAYS}
    config = network.config
    facts: dict[str, Any] = {
        "format": _FORMAT,
        "task": data.task,
        "target": {"name": data.target, "classes": list(data.classes)}
        if data.classes
        else {"name": data.target, "mean": mean, "scale": scale, "sigma": network.sigma},
        "network": {"hidden": list(recipe.hidden), "p": config.p, "p_input": config.p_input, "activation": "relu"},
        "training": {
            "optimiser": "AdamW",
            "lr": config.lr,
            "schedule": "a tenth of the steps linearly up, then linearly down to 0",
            "weight_decay": config.weight_decay,
            "epochs": recipe.epochs,
            "batch": recipe.batch,
            "study_seed": recipe.key,
            "seed": config.seed,
        },
        "inputs": {
            "columns": list(preparation.columns),
            "numbers": list(preparation.numbers),
            "texts": [
                {"name": name, "levels": list(levels), "rare": rare}
                for name, levels, rare in zip(preparation.texts, preparation.levels, preparation.rare, strict=True)
            ],
        },
    }
    replace_file(folder / WEIGHTS, safetensors.numpy.save(arrays))
    replace_file(folder / CONFIG, tomli_w.dumps(facts).encode())


def load(folder: str | Path) -> StudyModel:
    """The network of a study's folder, ready to predict.

    Raises StudyError where the folder has no finished study, or its files do not belong together.
    """
    folder = Path(folder)
    absent = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if absent:
        raise StudyError(f"`load`: {folder} has no {absent[0]}. Pass the folder of a finished study.")
    try:
        facts = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
        arrays = safetensors.numpy.load_file(folder / WEIGHTS)
        if facts["format"] != _FORMAT:
            raise StudyError(f"`load`: {folder / CONFIG} has format {facts['format']}; this version reads {_FORMAT}.")
        inputs, target = facts["inputs"], facts["target"]
        preparation = Preparation(
            columns=tuple(inputs["columns"]),
            numbers=tuple(inputs["numbers"]),
            **{name: arrays[f"prepare.{name}"] for name in _ARRAYS},
            texts=tuple(item["name"] for item in inputs["texts"]),
            levels=tuple(tuple(item["levels"]) for item in inputs["texts"]),
            rare=tuple(item["rare"] for item in inputs["texts"]),
        )
        classes = tuple(target.get("classes", ()))
        shape = facts["network"]
        network = Perceptron(preparation.inputs, shape["hidden"], len(classes) or 1, shape["p"], shape["p_input"])
        prefix = "network."
        network.load_state_dict(
            {name.removeprefix(prefix): torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}
        )
    except (KeyError, TypeError, RuntimeError, tomllib.TOMLDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise StudyError(
            f"`load`: {folder / CONFIG} and {WEIGHTS} do not belong together or are damaged: {error}."
        ) from error
    return StudyModel(
        network.eval(),
        preparation,
        classes,
        target.get("mean", 0.0),
        target.get("scale", 1.0),
        target.get("sigma", 1.0),
    )
