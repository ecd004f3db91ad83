"""Reliance: do hidden units say the same, and does the network lean on single features?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ...fit.perceptron import Perceptron
from ...noise import fold_in
from ..record import ChapterFigure, Estimate
from ..trial.config import Recipe
from ..trial.fold import Fold
from . import features
from .chapter import Answer, Chapter
from .interval import Values, over_seeds, seen
from .points import pair
from .scene import Results, Scene
from .train import Learnt, perceptrons
from .trial import Figures, Trial

REPEATS = 3  # permutations of a feature
ROWS = 500  # validation rows that importance is measured on
_SHUFFLE = 11  # a child of a seed's key


def trials(scene: Scene) -> list[Trial]:
    """Both arms, a trial a seed: which inputs make up a feature depends on the seed's training rows."""
    found = []
    for p in (0.0, scene.best_p):
        for seed in scene.seeds:
            groups = {f"input{n:05d}": float(group) for n, group in enumerate(scene.groups(seed))}
            known = {"p": p, **groups, **features.settings(scene, seed)}
            found += scene.trials("reliance", f"p = {p:g}", (seed,), known, noisy=p > 0)
    return found


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    groups = [int(value) for name, value in trial.settings if name.startswith("input")]
    (learnt,) = perceptrons(trial, folds, recipe, trial.setting("p"), recipe.batch)
    (seed,) = trial.seeds
    found = _reliance(learnt, groups, fold_in(fold_in(recipe.key, seed), _SHUFFLE))
    settings = dict(trial.settings)
    if "width" in settings:
        linear = _perceptron(learnt).linear
        weights = [value.double().numpy() for name, value in linear.state_dict().items() if name.endswith("weight")]
        found |= features.measured(weights[0], weights[1], settings)
    return {name: [value] for name, value in found.items()}


def _perceptron(learnt: Learnt) -> Perceptron:
    assert isinstance(learnt.network, Perceptron)
    return learnt.network


def _reliance(learnt: Learnt, groups: list[int], key: int) -> dict[str, float]:
    fold = learnt.fold
    hidden = _hidden(_perceptron(learnt), fold)
    error = learnt.figures().error
    x, y = fold.x_val[:ROWS], fold.y_val[:ROWS]
    base = learnt.figures(x, y).loss
    generator = np.random.default_rng(key)
    importance = np.zeros(max(groups) + 1)
    for group in range(len(importance)):
        own = [n for n, one in enumerate(groups) if one == group]
        for _ in range(REPEATS):
            mixed = x.copy()
            mixed[:, own] = x[generator.permutation(len(x))][:, own]
            importance[group] += max(learnt.figures(mixed, y).loss - base, 0.0) / REPEATS
    top = int(importance.argmax())
    without = fold.x_test.copy()
    own = [n for n, one in enumerate(groups) if one == top]
    without[:, own] = fold.x_train[:, own].mean(axis=0)
    return {
        "correlation": correlation(hidden),
        "active": float((hidden > 0).mean()),
        "concentration": float(importance[top] / importance.sum()) if importance.sum() > 0 else 1 / len(importance),
        "top": float(top),
        "error": error,
        "missing": learnt.figures(without).error,
    }


def correlation(hidden: NDArray[np.float32]) -> float:
    """The mean absolute correlation of pairs of units, of those that vary over the rows; 0 where fewer than two do."""
    varying = hidden[:, hidden.std(axis=0) > 1e-6].astype(np.float64)
    if varying.shape[1] < 2:
        return 0.0
    found = np.abs(np.corrcoef(varying, rowvar=False))
    return float(found[np.triu_indices(len(found), 1)].mean())


def _hidden(network: Perceptron, fold: Fold) -> NDArray[np.float32]:
    with torch.no_grad():
        found: NDArray[np.float32] = network.activation(network.linear[0](torch.from_numpy(fold.x_test))).numpy()
    return found


def tell(scene: Scene, results: Results) -> Answer | None:
    """Each measure with dropout against none, paired by seed."""
    seeds, p = scene.seeds, scene.best_p
    names = ("correlation", "active", "concentration", "missing", "error", "top")
    plain, noisy = (
        {name: results.of(f"p = {rate:g}", name, seeds) for name in names} for rate in (0.0, p)
    )  # fmt: skip
    if len(seeds) < 2 or any(value is None for arm in (plain, noisy) for value in arm.values()):
        return None
    without, with_noise = (
        {name: value for name, value in arm.items() if value is not None} for arm in (plain, noisy)
    )  # fmt: skip
    measures = {
        "hidden units: mean |correlation|": "correlation",
        "hidden units: active": "active",
        "importance: the top feature": "concentration",
    }
    lost = [arm["missing"] - arm["error"] for arm in (without, with_noise)]
    words = [
        _importance(scene, without, with_noise, p),
        _missing(scene, lost[0], lost[1], p),
        _share("the mean absolute correlation of hidden units", without["correlation"], with_noise["correlation"], p),
        _share("the share of active hidden units", without["active"], with_noise["active"], p),
        *features.said(scene, results, p),
    ]
    figure = ChapterFigure(
        kind="points",
        title=_short(over_seeds(with_noise["concentration"] - without["concentration"]), over_seeds(lost[1] - lost[0])),
        caption="How to read it: of the first hidden layer, the mean absolute correlation of pairs of units and the "
        "share of active units on test rows; and how much of the permutation importance the most important feature "
        f"has. Bars are 95 % intervals over {len(seeds)} seeds.",
        x_title="",
        y_title="share",
        names=list(measures),
        percent=True,
        series=pair(p, *([arm[key] for key in measures.values()] for arm in (without, with_noise))),
    )
    return Answer(["p = 0", f"p = {p:g}"], words, figure, len(seeds), features.figure(scene, results, p))


def _importance(scene: Scene, without: dict[str, Values], with_noise: dict[str, Values], p: float) -> str:
    most = Counter(
        scene.feature(seed, int(top)) for seed, top in zip(scene.seeds, without["top"], strict=True)
    ).most_common(1)[0][0]
    said = _share("its share of the permutation importance", without["concentration"], with_noise["concentration"], p)
    return f"The most important feature without dropout is {most}. {said}"


def _missing(scene: Scene, plain: Values, noisy: Values, p: float) -> str:
    found, speech = over_seeds(noisy - plain), scene.speech
    unit = " points" if speech.percent else ""
    values = (
        f"the {scene.error_title} changes by {speech.signed(float(plain.mean()))}{unit} without dropout and by "
        f"{speech.signed(float(noisy.mean()))}{unit} at p = {p:g}"
    )
    start = f"Where each network's most important feature is missing at test time, {values}"
    side = seen(found)
    said = speech.span(found.value, found.low, found.high)
    if side == 0:
        return f"{start}; between these no difference was seen: {said}."
    return f"{start}: dropout {'lowers' if side < 0 else 'raises'} the harm, by {said}."


def _share(what: str, plain: Values, noisy: Values, p: float) -> str:
    found = over_seeds(noisy - plain)
    values = f"{100 * plain.mean():.1f} % without dropout, {100 * noisy.mean():.1f} % at p = {p:g}"
    width = f"95 % interval of the difference {100 * found.low:+.1f} to {100 * found.high:+.1f} points"
    side = seen(found)
    if side == 0:
        return f"No difference was seen in {what}: {values} ({width})."
    return f"Dropout {'lowers' if side < 0 else 'raises'} {what}: {values} ({width})."


def _short(concentration: Estimate, missing: Estimate) -> str:
    if seen(missing) < 0:
        return "With dropout the network leans less on its most important feature"
    if seen(missing) > 0:
        return "With dropout the network leans more on its most important feature"
    if seen(concentration):
        return f"Dropout {'spreads' if seen(concentration) < 0 else 'concentrates'} the importance of features"
    return "No difference in the reliance on the most important feature was seen"


CHAPTER = Chapter(
    name="reliance",
    question="Do hidden units say the same, and does the network lean on single features?",
    measured="Correlation and activity of the first hidden layer; permutation importance on validation rows; the test "
    "error when the most important feature is replaced by its mean. Of images, features are patches, and the weights "
    "of the first layer are shown as pictures.",
    tell=tell,
    trials=trials,
    run=run,
)
