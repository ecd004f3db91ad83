"""A model of the caller's on a study's data: which p each kind of place wants, by the study's own training rules."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..fit.loop import batch_size
from ..fit.separate import Separate, answers
from ..fit.stack import Member
from ..fit.training import train
from ..frameworks import refuse_other_frameworks
from ..model.plan.planning import plan
from ..noise import fold_in
from .answer.metric import METRICS
from .data.dataset import Dataset
from .data.first_words import words_of_first_seed
from .data.parts import Sizes, parts, sizes
from .data.suspicion import suspicions
from .deciding import deciding_metric
from .error import StudyError
from .fault import faults_told
from .options import StudyOptions
from .report.tuning_facts import TuningData
from .trial.fold import Fold
from .trial.one_thread import one_thread
from .trial.prepared import prepared
from .tuning.result import TuneResult
from .tuning.subject import Tunable
from .tuning.trainings import SeedTraining
from .tuning.tune import PS, TuneOptions, tuned
from .underway import TableReading, column_records, most_steps, opened

LRS = (3e-4, 1e-3, 3e-3)
SEEDS = 5
TRIALS = 60
EXAMPLE = 8  # rows
CHOOSES = "validation loss"
# Options of the study's own networks and search, which have no meaning for a model of the caller's.
FOREIGN = {
    "--hidden": "hidden",
    "--weight-decay": "weight_decays",
    "--budget": "budget",
    "--storage": "storage",
    "--ray": "ray",
    "--log": "log",
    "--network": "network",
    "--chapters": "chapters",
}


def tune_model(
    build: Callable[..., Any],
    data: str | Path | Dataset | None,
    options: StudyOptions,
    *,
    title: str,
    watch: Callable[[SeedTraining], None] = lambda training: None,
    told: Callable[[TableReading], None] = lambda reading: None,
) -> TuneResult:
    """Tune the dropout of a model on some data.

    New places are `thinned.plan`'s, beside the dropouts that the model has. Each training takes the best of the
    learning rates, by the study's rules: cycles until the validation loss falls no longer. Validation rows choose, test
    rows judge.

    Arguments:
        build: gives a new model. It may take `inputs`, the number of columns or for images `(channels, H, W)`, and
            `outputs`, the number of classes, or 1.
        title: what the model is called.

    Raises:
        StudyError: data, options, a folder or a model that can't be used.
        KeyboardInterrupt: Ctrl-C. What is finished is in the folder.
    """
    foreign = [name for name, field in FOREIGN.items() if getattr(options, field) is not None]
    if foreign:
        raise StudyError(f"`--model`: {', '.join(foreign)} is for the study's own networks. Leave it out.")
    with faults_told(options.out), one_thread():
        rows = _FoldedData(data, options, told)
        make, example = _factory(build, rows, title), rows.fold(0)
        first = make()
        x = torch.from_numpy(example.x_train[:EXAMPLE])
        _check_output(first, x, rows, title)
        found = plan(first, x)
        try:
            tunable = Tunable.of(make, found if found.enabled else None)
        except StudyError:
            raise StudyError(
                f"`--model`: {title} must have a place for dropout. thinned.plan found none, and the model has none. "
                "`thinned study` without --model trains a network that has."
            ) from None
        lrs = LRS if options.lrs is None else options.lrs
        fit = _Fit(rows, options.seed, lrs, most_steps(rows.size.train, options.epochs))
        facts = {"data": rows.data.fingerprint(), "model": title, "lrs": list(lrs), "rows": list(_numbers(rows.size))}
        choices = TuneOptions(
            out=options.out,
            metric=CHOOSES,
            judge=f"test {rows.metric}",
            budget=fit.max_steps,
            seeds=options.seeds or SEEDS,
            ps=PS if options.ps is None else tuple(sorted({0.0, *options.ps})),
            trials=TRIALS,
        )
        told_of = TuningData(rows.data.title, _numbers(rows.size), tuple(lrs), rows.warned, tuple(rows.data.notes))
        return tuned(fit, tunable, choices, facts, watch, told_of)


class _FoldedData:
    """The data and each seed's rows. The test rows are the same for all seeds."""

    def __init__(
        self, data: str | Path | Dataset | None, options: StudyOptions, told: Callable[[TableReading], None]
    ) -> None:
        self.data = opened(data, options)
        self.warned = suspicions(self.data)
        columns = tuple(column_records(self.data, self.warned))
        told(TableReading(self.data.title, columns, self.data.notes, self.warned))
        self.metric = deciding_metric(options, self.data)
        size = sizes(self.data, options.train_rows, options.seed)
        # One test set, for a search over several would have trained on the test rows of some.
        self.size = size if size.outer == 1 else replace(size, outer=1, test=size.test // size.outer)
        self._seed = options.seed
        self._words = words_of_first_seed(self.data, self.size, options.seed, ordered=False)
        self._folds: dict[int, Fold] = {}

    @property
    def outputs(self) -> int:
        return max(len(self.data.classes), 1)

    def fold(self, seed: int) -> Fold:
        """A seed's rows; images as `(rows, channels, H, W)`, texts as a bag of words."""
        if seed not in self._folds:
            fold = prepared(self.data, parts(self.data, self.size, self._seed, seed), self._words).fold
            if self.data.image is not None:
                x_train, x_val, x_test = (
                    _pictures(x, self.data.image.size) for x in (fold.x_train, fold.x_val, fold.x_test)
                )
                fold = replace(fold, x_train=x_train, x_val=x_val, x_test=x_test)
            self._folds[seed] = fold
        return self._folds[seed]


class _Fit:
    """One training for `tune`: every learning rate to convergence, and the one with the least validation loss."""

    def __init__(self, rows: _FoldedData, key: int, lrs: tuple[float, ...], max_steps: int) -> None:
        self.max_steps = max_steps
        self._rows, self._key, self._lrs = rows, key, lrs

    def __call__(self, model: nn.Module, rates: Mapping[str, float], seed: int, budget: int) -> dict[str, float]:
        fold = self._rows.fold(seed)
        key = fold_in(self._key, seed)
        members = [Member(rows=0, key=key, p=0.0, p_input=0.0, lr=lr, weight_decay=0.0) for lr in self._lrs]
        builds = [lambda generator: copy.deepcopy(model)] * len(members)
        separate = Separate(members, _set(fold.x_train), _set(fold.y_train), builds, batch_size(len(fold.x_train)))
        trained = train(separate, _set(fold.x_val), _set(fold.y_val), max_steps=budget)
        sound = [number for number, item in enumerate(trained) if item.ended != "diverged"]
        if not sound:
            return {CHOOSES: math.nan, f"test {self._rows.metric}": math.nan}
        best = min(sound, key=lambda number: trained[number].val_loss)
        model.load_state_dict(trained[best].state)
        metric = METRICS[self._rows.metric]
        on_test = answers(model, torch.from_numpy(fold.x_test)).numpy()
        return {
            CHOOSES: trained[best].val_loss,
            f"test {metric.name}": float(metric.rows(on_test, fold.y_test, fold.scale).mean()),
            "learning rate": self._lrs[best],
            "steps": float(trained[best].steps),
        }


def _factory(build: Callable[..., Any], rows: _FoldedData, title: str) -> Callable[[], nn.Module]:
    """`build` with the arguments that it takes."""
    shape = rows.fold(0).x_train.shape[1:]
    offered = {"inputs": shape[0] if len(shape) == 1 else tuple(shape), "outputs": rows.outputs}
    try:
        parameters = list(inspect.signature(build).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    needed = [
        item.name
        for item in parameters
        if item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]
    unknown = [name for name in needed if name not in offered]
    if unknown:
        raise StudyError(
            f"`--model`: {title} must need no arguments but `inputs` and `outputs`. It needs {', '.join(unknown)}. "
            f"Give {'it a default' if len(unknown) == 1 else 'them defaults'}, or name another function."
        )
    bound = build.keywords if isinstance(build, partial) else {}  # what the caller has said stays
    given = {item.name: offered[item.name] for item in parameters if item.name in offered and item.name not in bound}

    def make() -> nn.Module:
        try:
            model = build(**given)
        except Exception as error:
            raise StudyError(f"`--model`: {title} fails: {_short(error)}. Mend it, then go on.") from error
        try:
            refuse_other_frameworks("--model", model)
        except TypeError as error:
            raise StudyError(str(error)) from None
        if not isinstance(model, nn.Module):
            raise StudyError(
                f"`--model`: {title} must give a torch.nn.Module. It gave {type(model).__name__}. Return the model."
            )
        return model

    return make


def _check_output(model: nn.Module, x: Tensor, rows: _FoldedData, title: str) -> None:
    """One batch through the model in evaluation mode: it must give `(B, outputs)`."""
    try:
        with torch.no_grad():
            output = model.eval()(x)
    except Exception as error:
        raise StudyError(
            f"`--model`: {title} must take a batch of these data, {tuple(x.shape)}. It fails: {_short(error)}. A "
            "parameter `inputs` of the function tells it how many columns there are."
        ) from error
    finally:
        model.train()
    wanted = (len(x), rows.outputs)
    if not isinstance(output, Tensor) or tuple(output.shape) != wanted:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        what = f"a logit for each of {rows.outputs} classes" if rows.data.classes else "one value a row"
        raise StudyError(
            f"`--model`: {title} must give {what}, {wanted} for a batch of {len(x)}. It gave {got}. A parameter "
            "`outputs` of the function tells it how many there are."
        )


def _pictures(x: NDArray[np.float32], size: tuple[int, int, int]) -> NDArray[np.float32]:
    """Flat rows, channels last, as torch's layers for images take them: `(rows, channels, H, W)`."""
    return np.ascontiguousarray(np.moveaxis(x.reshape(len(x), *size), 3, 1))


def _set(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values)[None]


def _numbers(size: Sizes) -> tuple[int, int, int]:
    return size.train, size.val, size.test


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": .")
