"""A study's answer on disk: `study.json`, `runs.csv`, `curves.csv`, `range.csv`, `activations.npz` and the networks."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from ..noise import fold_in
from ..regular_file import read_regular
from ..replaced_file import replace_file
from .answer.conclude import Conclusion
from .answer.standing import Answered, tempered_nll
from .answer.together import SeedNetwork, residuals_of, temperature_of
from .data.dataset import Dataset
from .data.prepare import Preparation
from .error import UnreadableError
from .network.files import load, save
from .network.model import EnsembleMember
from .record import CONFIG, WEIGHTS, Point, RangePoint, Run, Study
from .search.chooser import Chooser
from .trial.config import Config, Recipe
from .trial.fold import Fold
from .trial.outcome import Outcome, Weights
from .trial.range_test import RangeTest
from .trial.unit import as_network

SHOWN_ROWS = 32
_ANSWER_LIMIT = 1 << 30  # bytes of study.json
_SHOWN_MASK = 3  # a child of the seed's key, after those of weights, order and masks


def write_study(folder: Path, study: Study) -> None:
    """Write `study.json`."""
    replace_file(folder / "study.json", (study.model_dump_json(indent=1) + "\n").encode())


def damaged(folder: Path) -> list[str]:
    """The files of an earlier answer that can't be read, a sentence each: the study writes them anew."""
    said = []
    try:
        if (folder / "study.json").exists():
            Study.model_validate_json(read_regular(folder / "study.json", _ANSWER_LIMIT))
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        said.append(f"{folder / 'study.json'} is damaged ({reason}), and will be written anew.")
    try:
        if (folder / WEIGHTS).exists() or (folder / CONFIG).exists():
            load(folder)
    except UnreadableError as error:
        said.append(f"{' '.join(error.reason.splitlines())}. The networks will be written anew.")
    return said


def write_runs(
    folder: Path, choosers: Sequence[Chooser], finished: Mapping[Config, Outcome], folds: Mapping[int, Fold]
) -> None:
    """Write `runs.csv` and `curves.csv`, in an order that does not depend on which run finished first."""
    levels = [chooser.levels() for chooser in choosers]
    every = set.intersection(*({level.key for level in found} for found in levels))  # what the record has a level of
    chosen = {
        config
        for chooser, found in zip(choosers, levels, strict=True)
        for level in found
        for config in chooser.configs(level)
        if level.key in every
    }
    runs, points = [], []
    for config in sorted(finished):
        outcome, level, fold = finished[config], config.level, folds[config.seed]
        answered = Answered(outcome.val_output, outcome.test_output)
        temperature, error, nll, tempered = tempered_nll(answered, fold)
        runs.append(
            Run(
                run=config.name,
                arm=level.arm,
                p=level.p,
                p_input=level.p_input,
                weight_decay=level.weight_decay,
                lr=config.lr,
                seed=config.seed,
                outer=config.seed % len(choosers),
                chosen_lr=config in chosen,
                best_step=outcome.best_step,
                steps=outcome.steps,
                ended=outcome.ended,
                train_error=outcome.train.error,
                train_nll=outcome.train.nll,
                val_error=outcome.val.error,
                val_nll=outcome.val.nll,
                val_loss=outcome.val.loss,
                test_error=error,
                test_nll=nll,
                temperature=temperature,
                test_nll_tempered=tempered,
                seconds=outcome.seconds,
            )
        )
        points += [Point(run=config.name, **asdict(point)) for point in outcome.curve]
    replace_file(folder / "runs.csv", _csv(Run, runs))
    replace_file(folder / "curves.csv", _csv(Point, points))


def write_range(folder: Path, found: RangeTest) -> None:
    """Write `range.csv`."""
    points = [RangePoint(lr=lr, loss=loss) for lr, loss in zip(found.lrs, found.losses, strict=True)]
    replace_file(folder / "range.csv", _csv(RangePoint, points))


def write_networks(
    folder: Path,
    data: Dataset,
    found: Conclusion,
    weights: Mapping[Config, Weights],
    folds: Mapping[int, Fold],
    preparations: Mapping[int, Preparation],
    recipe: Recipe,
) -> None:
    """Write the networks to take away."""
    runs = found.chosen.runs
    members = [SeedNetwork(folds[run.config.seed], run.val_output, run.test_output) for run in runs]
    save(
        folder,
        data,
        [
            EnsembleMember(
                seed=run.config.seed,
                lr=run.config.lr,
                preparation=preparations[run.config.seed],
                weights=weights[run.config],
                mean=folds[run.config.seed].mean,
                scale=folds[run.config.seed].scale,
                kind=recipe.network,
            )
            for run in runs
        ],
        found.chosen.level,
        recipe,
        temperature=temperature_of(members),
        residuals=residuals_of(members),
    )


def write_activations(
    folder: Path, plain: Config, noisy: Config, weights: Mapping[Config, Weights], fold: Fold, recipe: Recipe
) -> None:
    """Write `activations.npz`: a hidden layer on some test rows, without dropout and with it.

    It is a perceptron's first, and what enters the last layer of another network.
    """
    whole, _, _ = _activations(plain, weights[plain], fold, recipe)
    full, thinned, mask = _activations(noisy, weights[noisy], fold, recipe)
    content = io.BytesIO()
    np.savez(content, plain=whole, whole=full, thinned=thinned, kept=mask, p=np.float64(noisy.level.p))
    replace_file(folder / "activations.npz", content.getvalue())


def _activations(
    config: Config, state: Weights, fold: Fold, recipe: Recipe
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """At inference, in training mode after dropout, and which units that keeps."""
    network: Any = as_network(state, config, recipe).eval()
    key = fold_in(fold_in(recipe.key, config.seed), _SHOWN_MASK)
    x = torch.from_numpy(fold.x_test[:SHOWN_ROWS])
    with torch.no_grad():
        if recipe.network == "perceptron":
            whole, layer = network.activation(network.linear[0](x)), network.dropout[0]
        else:
            whole, layer = network.features(x), network.dropout
        dropout = layer.train()
        thinned, mask = dropout(whole, key=key), dropout(torch.ones_like(whole), key=key) != 0
    return whole.numpy(), thinned.numpy(), mask.numpy()


def _csv(kind: type[BaseModel], rows: Iterable[BaseModel]) -> bytes:
    frame = pd.DataFrame([row.model_dump() for row in rows], columns=list(kind.model_fields))
    return frame.to_csv(index=False).encode()
