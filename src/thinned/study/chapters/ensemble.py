"""Ensemble: k thinned networks averaged, against weight scaling and Monte-Carlo dropout (Srivastava et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ...fit.separate import answers
from ...noise import fold_in
from ...uncertainty.networks import thinned_networks, weight_scaling
from ...uncertainty.predict import predict
from ..record import ChapterFigure, ChapterSeries
from ..trial.config import Recipe
from ..trial.figures import deviation, figures
from ..trial.fold import Fold
from .chapter import Answer, Chapter
from .interval import compared, over_seeds, seen, sentence
from .points import points
from .scene import Results, Scene
from .train import Learnt, perceptrons
from .trial import Figures, Trial

MOST = 32  # thinned networks, and samples
SIZES = (1, 2, 4, 8, 16, MOST)
NETWORKS, SAMPLES, SCALED = "networks", "samples", "scaled"
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
    return {
        f"{name} error": float(np.mean([one.error for one in every])),
        f"{name} nll": float(np.mean([one.nll for one in every])),
    }


def tell(scene: Scene, results: Results) -> Answer | None:
    """Both ways by size against weight scaling."""
    seeds, p = scene.seeds, scene.best_p
    arm = f"p = {p:g}"
    scaled, scaled_nll = (results.of(arm, f"{SCALED} {figure}", seeds) for figure in ("error", "nll"))
    ways = {way: {size: results.of(arm, f"{way} {size} error", seeds) for size in SIZES} for way in (NETWORKS, SAMPLES)}
    errors = {way: {size: found for size, found in own.items() if found is not None} for way, own in ways.items()}
    nll = {way: results.of(arm, f"{way} {MOST} nll", seeds) for way in ways}
    if len(seeds) < 2 or scaled is None or scaled_nll is None or any(len(own) < len(SIZES) for own in errors.values()):
        return None
    titles = {NETWORKS: "thinned networks", SAMPLES: "Monte-Carlo samples"}
    words = []
    for way, title in titles.items():
        change = over_seeds(errors[way][MOST] - scaled)
        said = sentence(compared(scene.speech, f"the mean of {MOST} {title}", change, "weight scaling"))
        reached = next((size for size in SIZES if seen(over_seeds(errors[way][size] - scaled)) <= 0), None)
        if reached is not None and reached > 1:
            said += f" From {reached} on they are not seen to be worse."
        elif reached is None:
            said += f" With up to {MOST} they stay worse."
        else:
            said += " A single one is not seen to be worse."
        own = nll[way]
        if own is not None:
            lower = over_seeds(own - scaled_nll)
            text = f"{lower.value:+.3f} nats a row (95 % interval {lower.low:+.3f} to {lower.high:+.3f})"
            side = seen(lower)
            said += (
                f" No difference in NLL was seen: {text}."
                if side == 0
                else f" Its NLL is {'lower' if side < 0 else 'higher'}: {text}."
            )
        words.append(said)
    figure = ChapterFigure(
        kind="lines",
        title=_short(seen(over_seeds(errors[NETWORKS][MOST] - scaled))),
        caption=f"How to read it: the {scene.error_title} of k answers averaged. Thinned networks keep their masks for "
        "all rows, Monte-Carlo samples draw them anew for each; weight scaling is one pass with dropout off. Bars are "
        f"95 % intervals over {len(seeds)} seeds.",
        x_title="k, answers averaged",
        y_title=scene.error_title,
        percent=scene.speech.percent,
        log_x=True,
        series=[
            ChapterSeries(
                name="weight scaling",
                role="plain",
                points=points({float(size): over_seeds(scaled) for size in SIZES}),
            ),
            *(
                ChapterSeries(
                    name=titles[way],
                    role="noisy" if way == NETWORKS else "other",
                    points=points({float(size): over_seeds(found) for size, found in errors[way].items()}),
                )
                for way in titles
            ),
        ],
    )
    return Answer(["weight scaling", *titles.values()], words, figure, len(seeds))


def _short(side: int) -> str:
    if side == 0:
        return f"No difference between {MOST} thinned networks and weight scaling was seen"
    return f"{MOST} thinned networks have a {'lower' if side < 0 else 'higher'} error than weight scaling"


CHAPTER = Chapter(
    name="ensemble",
    question="Is one pass without dropout as good as the mean of many thinned networks?",
    measured="Test error and NLL of k answers averaged, k = 1 to 32, with masks per network and per row, against one "
    "pass by weight scaling, of the same trained networks.",
    tell=tell,
    trials=trials,
    run=run,
)
