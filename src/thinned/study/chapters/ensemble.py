"""Ensemble: k thinned networks averaged, against weight scaling and Monte-Carlo dropout (Srivastava et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...fit.separate import answers
from ...noise import fold_in
from ...uncertainty.networks import thinned_networks, weight_scaling
from ...uncertainty.predict import predict
from ..answer.calibration import LEAST_ROWS, expected_error
from ..record import ChapterFigure, ChapterSeries
from ..trial.config import Recipe
from ..trial.figures import deviation, figures
from ..trial.fold import Fold
from .chapter import Answer, Chapter
from .interval import Values, beside, compared, likelihood, over_seeds, seen, sentence
from .points import points
from .scene import Results, Scene
from .train import Learnt, perceptrons
from .trial import Figures, Trial

MOST = 32  # thinned networks, and samples
SIZES = (1, 2, 4, 8, 16, MOST)
NETWORKS, SAMPLES, SCALED = "networks", "samples", "scaled"
TITLES = {NETWORKS: "thinned networks", SAMPLES: "Monte-Carlo samples"}
_MASKS = 12  # a child of a seed's key


def trials(scene: Scene) -> list[Trial]:
    """Networks with dropout, whose thinned ones are averaged."""
    return scene.trials("ensemble", f"p = {scene.best_p:g}", scene.seeds, {"p": scene.best_p})


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    learnt = perceptrons(trial, folds, recipe, trial.setting("p"), recipe.batch)
    found = [
        _averaged(one, fold_in(fold_in(recipe.key, seed), _MASKS))
        for one, seed in zip(learnt, trial.seeds, strict=True)
    ]
    return {name: [one[name] for one in found] for name in found[0]}


def _averaged(learnt: Learnt, key: int) -> dict[str, float]:
    """Error and NLL by way and size; of a size, the mean over as many ensembles as there are networks for."""
    network, fold = learnt.network, learnt.fold
    x = torch.from_numpy(fold.x_test)
    single = torch.stack([answers(own, x) for own in thinned_networks(network, MOST, x[:2], seed=key)])
    drawn = predict(network, x, n=MOST, seed=key, samples=True, task="classification" if fold.outputs else "regression")
    assert drawn.samples is not None
    whole = weight_scaling(network, x)
    sigma = deviation(torch.from_numpy(learnt.val_output)[None], torch.from_numpy(fold.y_val)[None])
    found = _judged(fold, _probability(fold, whole)[None], sigma, SCALED)
    for size in SIZES:
        for way, outputs in ((NETWORKS, _probability(fold, single)), (SAMPLES, drawn.samples)):
            means = outputs.reshape(MOST // size, size, *outputs.shape[1:]).mean(1)
            found |= _judged(fold, means, sigma, f"{way} {size}")
    return found


def _probability(fold: Fold, output: Tensor) -> Tensor:
    return output.softmax(-1) if fold.outputs else output


def _judged(fold: Fold, answer: Tensor, sigma: Tensor, name: str) -> dict[str, float]:
    """Of the means over ensembles, `(E, rows, ...)` of probabilities or values."""
    output = answer.double().clamp(min=1e-12).log() if fold.outputs else answer
    y = torch.from_numpy(fold.y_test).expand(len(output), -1)
    every = figures(output, y, sigma.expand(len(output)), torch.full((len(output),), fold.scale, dtype=torch.float64))
    found = {
        f"{name} error": float(np.mean([one.error for one in every])),
        f"{name} nll": float(np.mean([one.nll for one in every])),
        f"{name} brier": float(np.mean([one.loss for one in every])),
    }
    if fold.outputs and len(fold.y_test) >= LEAST_ROWS:
        sure, predicted = answer.double().max(2)
        right = (predicted == y).double()
        errors = [expected_error(*rows) for rows in zip(sure.numpy(), right.numpy(), strict=True)]
        found[f"{name} ece"] = float(np.mean(errors))
    return found


def tell(scene: Scene, results: Results) -> Answer | None:
    """Both ways by size against weight scaling."""
    seeds = scene.seeds
    measures = {name: _measure(scene, results, name) for name in ("error", "nll", "brier", "ece")}
    there = {name: found for name, found in measures.items() if found is not None}
    if len(seeds) < 2 or "error" not in there or "nll" not in there:
        return None
    error = there["error"]
    words = []
    for way, title in TITLES.items():
        change = over_seeds(error.by_size[way][MOST] - error.scaled)
        said = sentence(compared(scene.speech, f"the mean of {MOST} {title}", change, "weight scaling"))
        reached = next((size for size in SIZES if seen(over_seeds(error.by_size[way][size] - error.scaled)) <= 0), None)
        if reached is None:
            said += f" With up to {MOST} they stay worse."
        elif reached > 1:
            said += f" From {reached} on they are not seen to be worse."
        else:
            said += " A single one is not seen to be worse."
        words.append(f"{said} {likelihood(over_seeds(there['nll'].by_size[way][MOST] - there['nll'].scaled))}")
        words[-1] += _calibration(scene, there, way)
    figure = _figure(
        scene,
        error,
        _short(seen(over_seeds(error.by_size[NETWORKS][MOST] - error.scaled))),
        "Thinned networks keep their masks for all rows, Monte-Carlo samples draw them anew for each; weight scaling "
        "is one pass with dropout off.",
    )
    name = "ece" if "ece" in there else "nll"
    shown = there[name]
    side = seen(over_seeds(shown.by_size[SAMPLES][MOST] - shown.scaled))
    told = f"{MOST} Monte-Carlo samples have a {'lower' if side < 0 else 'higher'} {name.upper()} than weight scaling"
    title = told if side else f"No difference in {name.upper()} between {MOST} samples and weight scaling was seen"
    more = _figure(scene, shown, title, "Lower is better: probabilities that are nearer to what happens.")
    return Answer(["weight scaling", *TITLES.values()], words, figure, len(seeds), [more])


@dataclass(frozen=True)
class _Measure:
    """A figure of weight scaling, and by way and size, one value a seed."""

    title: str
    percent: bool
    scaled: Values
    by_size: dict[str, dict[int, Values]]


def _measure(scene: Scene, results: Results, name: str) -> _Measure | None:
    """None where a part of it is not there."""
    titles = {
        "error": scene.error_title,
        "nll": "test NLL (nats a row)",
        "brier": "Brier score",
        "ece": "expected calibration error",
    }
    arm, seeds = f"p = {scene.best_p:g}", scene.seeds
    scaled = results.of(arm, f"{SCALED} {name}", seeds)
    found = {way: {size: results.of(arm, f"{way} {size} {name}", seeds) for size in SIZES} for way in TITLES}
    by_size = {way: {size: one for size, one in own.items() if one is not None} for way, own in found.items()}
    if scaled is None or any(len(own) < len(SIZES) for own in by_size.values()):
        return None
    percent = name == "ece" or (name == "error" and scene.speech.percent)
    return _Measure(titles[name], percent, scaled, by_size)


def _calibration(scene: Scene, there: dict[str, _Measure], way: str) -> str:
    """By the ECE where test rows are many; by the Brier score where an ECE would be chance for the most part."""
    if scene.task != "classification":
        return ""
    if "ece" in there:
        ece = there["ece"]
        change = over_seeds(ece.by_size[way][MOST] - ece.scaled)
        points = change.model_copy(update={end: 100 * getattr(change, end) for end in ("value", "low", "high")})
        values = f"{100 * ece.by_size[way][MOST].mean():.1f} % against {100 * ece.scaled.mean():.1f} %"
        return f" {beside('expected calibration error', points, 'points')} It is {values}."
    if "brier" in there:
        brier = there["brier"]
        said = beside("Brier score", over_seeds(brier.by_size[way][MOST] - brier.scaled))
        return f" {said}"
    return ""


def _figure(scene: Scene, found: _Measure, title: str, caption: str) -> ChapterFigure:
    return ChapterFigure(
        kind="lines",
        title=title,
        caption=f"How to read it: the {found.title} of k answers averaged. {caption} Bars are 95 % intervals over "
        f"{len(scene.seeds)} seeds.",
        x_title="k, answers averaged",
        y_title=found.title,
        percent=found.percent,
        log_x=True,
        series=[
            ChapterSeries(
                name="weight scaling",
                role="plain",
                points=points({float(size): over_seeds(found.scaled) for size in SIZES}),
            ),
            *(
                ChapterSeries(
                    name=title,
                    role="noisy" if way == NETWORKS else "other",
                    points=points({float(size): over_seeds(own) for size, own in found.by_size[way].items()}),
                )
                for way, title in TITLES.items()
            ),
        ],
    )


def _short(side: int) -> str:
    if side == 0:
        return f"No difference between {MOST} thinned networks and weight scaling was seen"
    return f"{MOST} thinned networks have a {'lower' if side < 0 else 'higher'} error than weight scaling"


CHAPTER = Chapter(
    name="ensemble",
    question="Is one pass without dropout as good as the mean of many thinned networks?",
    measured="Test error, NLL and calibration of k answers averaged, k = 1 to 32, with masks per network and per row, "
    "against one pass by weight scaling, of the same trained networks. Calibration is the expected calibration error "
    "(15 bins) from 1,000 test rows on; on fewer, where that is chance for the most part, the Brier score.",
    tell=tell,
    trials=trials,
    run=run,
)
