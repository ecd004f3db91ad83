"""Where: inputs, one hidden layer, all of them, or the outputs; input dropout beside bagging of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...noise import fold_in
from ..answer.speech import listed
from ..record import ChapterFigure, ChapterSeries, Estimate
from ..trial.config import Recipe
from ..trial.fold import Fold
from .chapter import Answer, Chapter
from .interval import compared, over_seeds, seen, sentence
from .points import points
from .scene import Results, Scene
from .train import judged, perceptrons
from .trial import Figures, Trial

MOST_AT_INPUT = 0.2  # Srivastava et al. 2014 keep 80 % of real-valued inputs
TREES = 30
INPUT, OUTPUT, ALL = "inputs", "outputs", "all hidden layers"
BAGGED, WHOLE = "trees on some features each", "trees on all features"


def hidden_layer(number: int) -> str:
    """The name of an arm."""
    return f"hidden layer {number + 1}"


def trials(scene: Scene) -> list[Trial]:
    """Networks for each place, and ensembles of trees with and without bagging of features."""
    p, seeds = scene.best_p, scene.few
    found = scene.trials("where", INPUT, seeds, {"input": min(p, MOST_AT_INPUT)})
    layers = len(scene.recipe.hidden)
    if layers > 1:  # one layer alone is all of them
        for layer in range(layers):
            found += scene.trials("where", hidden_layer(layer), seeds, {"layer": layer, "p": p})
    found += scene.trials("where", OUTPUT, seeds, {"output": p})
    for arm, share in ((BAGGED, 1 - min(p, MOST_AT_INPUT)), (WHOLE, 1.0)):
        found.append(Trial("where", arm, 0.0, seeds, (("features", share),)))
    return found


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    settings = dict(trial.settings)
    if "features" in settings:
        return {"error": [_bagged(folds[seed], settings["features"], recipe.key, seed) for seed in trial.seeds]}
    learnt = perceptrons(
        trial,
        folds,
        recipe,
        settings.get("p", 0.0),
        recipe.batch,
        p_input=settings.get("input", 0.0),
        p_output=settings.get("output", 0.0),
        alone=int(settings["layer"]) if "layer" in settings else None,
    )
    return judged(learnt)


def _bagged(fold: Fold, share: float, key: int, seed: int) -> float:
    """The test error of trees, each on a bootstrap sample of the rows and a share of the features (Ho 1998)."""
    from sklearn.ensemble import BaggingClassifier, BaggingRegressor
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    state = fold_in(fold_in(key, seed), 9) % 2**32
    options: dict[str, Any] = {"n_estimators": TREES, "max_features": share, "random_state": state}
    model = (
        BaggingClassifier(DecisionTreeClassifier(splitter="random"), **options)
        if fold.outputs
        else BaggingRegressor(DecisionTreeRegressor(splitter="random"), **options)
    ).fit(fold.x_train, fold.y_train)
    answer = model.predict(fold.x_test)
    if fold.outputs:
        return float(np.mean(answer != fold.y_test))
    return float(np.sqrt(np.mean((answer - fold.y_test) ** 2)) * fold.scale)


def tell(scene: Scene, results: Results) -> Answer | None:
    """Each place against no dropout, paired by seed."""
    seeds = scene.few
    if len(seeds) < 2:
        return None
    none = scene.errors(scene.plain, seeds)
    layers = [hidden_layer(layer) for layer in range(len(scene.recipe.hidden))]
    places = [INPUT, *(layers if len(layers) > 1 else []), ALL, OUTPUT]
    found: dict[str, Estimate] = {}
    for place in places:
        errors = scene.errors(scene.noisy, seeds) if place == ALL else results.of(place, "error", seeds)
        if errors is not None:
            found[place] = over_seeds(errors - none)
    if set(found) <= {ALL}:
        return None
    words = _words(scene, found)
    bagged, whole = (results.of(arm, "error", seeds) for arm in (BAGGED, WHOLE))
    names = list(found)
    bars = dict(found)
    if bagged is not None and whole is not None:
        difference = over_seeds(bagged - whole)
        bars[BAGGED] = difference
        words.append(_beside(scene, found.get(INPUT), difference))
    labels = [*names, *([BAGGED] if BAGGED in bars else [])]
    figure = ChapterFigure(
        kind="points",
        title=_short(found),
        caption=f"How to read it: the {scene.error_title} minus that without dropout, paired by seed; below 0, dropout "
        f"in this place helps. Bars are 95 % intervals over {len(seeds)} seeds. Trees on some features are against "
        "trees on all.",
        x_title="",
        y_title=f"{scene.error_title} against none",
        names=labels,
        percent=scene.speech.percent,
        zero=True,
        series=[
            ChapterSeries(
                name="networks",
                role="noisy",
                points=points({float(n): bars[name] for n, name in enumerate(labels) if name != BAGGED}),
            ),
            *(
                [
                    ChapterSeries(
                        name=f"{TREES} trees",
                        role="decay",
                        points=points({float(len(labels) - 1): bars[BAGGED]}),
                    )
                ]
                if BAGGED in bars
                else []
            ),
        ],
    )
    return Answer(["none", *labels], words, figure, len(seeds))


def _words(scene: Scene, found: dict[str, Estimate]) -> list[str]:
    p, p_input = scene.best_p, min(scene.best_p, MOST_AT_INPUT)
    words = []
    for place, estimate in found.items():
        rate = f"p = {p_input if place == INPUT else p:g}"
        said = sentence(compared(scene.speech, f"dropout on {_the(place)} ({rate})", estimate, "none"))
        if place == OUTPUT:
            said += {
                1: " What is dropped there is the answer itself, and no layer behind it can make up for it.",
                0: " The usual advice against it rests on other data than these.",
                -1: " Here it helped, against the usual advice; an output that is dropped is a row's answer lost.",
            }[seen(estimate)]
        words.append(said)
    return words


def _the(place: str) -> str:
    return place if place.startswith(("all", "hidden")) else f"the {place}"


def _short(found: dict[str, Estimate]) -> str:
    better = [place for place, one in found.items() if seen(one) < 0]
    worse = [place for place, one in found.items() if seen(one) > 0]
    parts = []
    if better:
        parts.append(f"dropout helps on {listed([_the(place) for place in better])}")
    if worse:
        parts.append(f"{'hurts' if parts else 'dropout hurts'} on {listed([_the(place) for place in worse])}")
    if not parts:
        return "No difference by place was seen"
    text = ", ".join(parts)
    return text[0].upper() + text[1:]


def _beside(scene: Scene, own: Estimate | None, bagged: Estimate) -> str:
    share = 1 - min(scene.best_p, MOST_AT_INPUT)
    said = compared(scene.speech, f"{100 * share:.0f} % of the features for each tree", bagged, "all of them")
    alike = ""
    if own is not None:
        alike = f" Input dropout is {'in this like it' if seen(own) == seen(bagged) else 'in this unlike it'}."
    return sentence(f"bagging of features, {TREES} trees: {said}") + alike


CHAPTER = Chapter(
    name="where",
    question="Where should dropout go?",
    measured="The test error of networks with dropout in one place alone, at the main study's rate and learning rate, "
    "against the same seeds without dropout; beside inputs, trees that see some of the features each.",
    tell=tell,
    trials=trials,
    run=run,
)
