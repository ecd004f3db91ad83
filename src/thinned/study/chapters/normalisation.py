"""Normalisation: batch or layer norm or none, with dropout in front of the norm, behind it, or without dropout."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ...fit.perceptron import Perceptron
from ...model.batch_norm.recalibrate import recalibrate_batchnorm
from ...model.batch_norm.shift import variance_shift
from ...nn import Dropout
from ..answer.speech import listed
from ..record import ChapterFigure, Estimate
from ..trial.config import Recipe
from ..trial.fold import Fold
from .chapter import Answer, Chapter
from .interval import Values, compared, likelihood, over_seeds, seen, sentence
from .points import pairs
from .scene import Results, Scene
from .shift import shift_by_formula
from .train import Learnt, judged, networks
from .trial import Figures, Trial

ARMS: dict[str, tuple[str, str]] = {  # the norm, and where dropout is
    "no norm": ("", ""),
    "no norm, dropout": ("", "behind"),  # in front of a ReLU and behind it are the same
    "batch norm": ("batch", ""),
    "batch norm, dropout before": ("batch", "before"),
    "batch norm, dropout behind": ("batch", "behind"),
    "layer norm": ("layer", ""),
    "layer norm, dropout before": ("layer", "before"),
    "layer norm, dropout behind": ("layer", "behind"),
}
NORMS: dict[str, type[nn.BatchNorm1d] | type[nn.LayerNorm]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
MEASURED, FORMULA, AGAIN = "measured", "formula", "recalibrated"
ROWS, BATCH = 1000, 256  # training rows that shifts are measured on, and at once in a recalibration


def chain(
    inputs: int, hidden: Sequence[int], outputs: int, norm: str, place: str, p: float, generator: torch.Generator
) -> nn.Sequential:
    """A perceptron with norms: Linear, norm, ReLU for each hidden layer, dropout right before the norm or last of all.

    The first weights of the Linears are a `Perceptron`'s.

    >>> layers = chain(2, [4], 1, "batch", "before", 0.5, torch.Generator())
    >>> [type(layer).__name__ for layer in layers]
    ['Linear', 'Dropout', 'BatchNorm1d', 'ReLU', 'Linear']
    """
    linear = Perceptron(inputs, hidden, outputs, 0.0, generator=generator).linear
    layers: list[nn.Module] = []
    for number, width in enumerate(hidden):
        layers.append(linear[number])
        if place == "before":
            layers.append(Dropout(p))
        if norm:
            layers.append(NORMS[norm](width))
        layers.append(nn.ReLU())
        if place == "behind":
            layers.append(Dropout(p))
    return nn.Sequential(*layers, linear[-1])


def trials(scene: Scene) -> list[Trial]:
    """Every arm, at the learning rate of the main study's arm with dropout or without."""
    found = []
    for arm, (_, place) in ARMS.items():
        p = scene.shown_p if place else 0.0
        found += scene.trials("normalisation", arm, scene.few, {"p": p}, noisy=bool(place))
    return found


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    norm, place = ARMS[trial.arm]
    first = folds[trial.seeds[0]]
    inputs, outputs = first.x_train.shape[1], max(first.outputs, 1)

    def build(generator: torch.Generator) -> nn.Module:
        return chain(inputs, recipe.hidden, outputs, norm, place, trial.setting("p"), generator)

    learnt = networks(trial, folds, recipe, build)
    found = judged(learnt)
    if norm == "batch":
        shifts = [_shifts(one) for one in learnt]
        found |= {name: [one[name] for one in shifts] for name in shifts[0]}
    return found


def _shifts(learnt: Learnt) -> dict[str, float]:
    network = learnt.network
    assert isinstance(network, nn.Sequential)
    x = torch.from_numpy(learnt.fold.x_train[:ROWS])
    measured, formula = variance_shift(network, [x]), shift_by_formula(network, x)
    found = {}
    for number, name in enumerate(formula):
        found[f"{MEASURED} {number + 1}"] = measured[name].ratio if name in measured else 1.0
        found[f"{FORMULA} {number + 1}"] = formula[name]
    again = copy.deepcopy(network)
    every = torch.from_numpy(learnt.fold.x_train)
    recalibrate_batchnorm(again, [rows for rows in every.split(BATCH) if len(rows) > 1])
    figures = Learnt(again.eval(), learnt.fold, learnt.trained).figures()
    return found | {f"{AGAIN} error": figures.error, f"{AGAIN} nll": figures.nll}


def tell(scene: Scene, results: Results) -> Answer | None:
    """Dropout with each norm, paired by seed, and the shift behind it."""
    seeds, p = scene.few, scene.shown_p
    error, training = _of_arms(results, "error", seeds), _of_arms(results, "train_error", seeds)
    if len(seeds) < 2 or len(error) < len(ARMS) or len(training) < len(ARMS):
        return None
    words = [_change(scene, arm, error) for arm, (_, place) in ARMS.items() if place]
    beside = over_seeds(error["batch norm"] - error["no norm, dropout"])
    words.append(sentence(compared(scene.speech, "batch norm without dropout", beside, "dropout without a norm")))
    shifts: dict[str, tuple[Estimate, Estimate]] = {}
    for place in ("before", "behind"):
        arm = f"batch norm, dropout {place}"
        own = _shifts_of(results, arm, len(scene.recipe.hidden), seeds)
        words.append(_shift(place, own))
        shifts |= {f"{place}, norm {number}": found for number, found in own.items()}
        again, nll, before = (results.of(arm, name, seeds) for name in (f"{AGAIN} error", f"{AGAIN} nll", "nll"))
        if again is not None and nll is not None and before is not None:
            change = over_seeds(again - error[arm])
            what = f"`recalibrate_batchnorm` (dropout {place} the norms)"
            said = sentence(compared(scene.speech, what, change, "the running statistics of training"))
            words.append(f"{said} {likelihood(over_seeds(nll - before))}")
    more = [_shift_figure(shifts, p, len(seeds))]
    return Answer(list(ARMS), words, _error_figure(scene, error, training, p), len(seeds), more)


def _of_arms(results: Results, figure: str, seeds: Sequence[int]) -> dict[str, Values]:
    found = {arm: results.of(arm, figure, seeds) for arm in ARMS}
    return {arm: values for arm, values in found.items() if values is not None}


def _alone(arm: str) -> str:
    """The arm with the same norm and without dropout."""
    return next(other for other, kind in ARMS.items() if kind == (ARMS[arm][0], ""))


def _change(scene: Scene, arm: str, error: Mapping[str, Values]) -> str:
    norm, place = ARMS[arm]
    where = f"dropout {place} the {norm} norms" if norm else "dropout in a network without a norm"
    base = f"{norm} norm without dropout" if norm else "no norm and no dropout"
    found = over_seeds(error[arm] - error[_alone(arm)])
    return sentence(compared(scene.speech, f"{where} (p = {scene.shown_p:g})", found, base))


def _shifts_of(results: Results, arm: str, layers: int, seeds: Sequence[int]) -> dict[int, tuple[Estimate, Estimate]]:
    """The shift of each norm that reads noise, measured and by formula."""
    found = {}
    for number in range(1, layers + 1):
        measured, formula = (results.of(arm, f"{way} {number}", seeds) for way in (MEASURED, FORMULA))
        if measured is not None and formula is not None and (formula != 1).any():
            found[number] = over_seeds(measured), over_seeds(formula)
    return found


def _shift(place: str, shifts: Mapping[int, tuple[Estimate, Estimate]]) -> str:
    if not shifts:
        return f"With dropout {place} it, the only batch norm reads no noise, and there is no variance shift."
    parts = []
    for number, (found, formula) in shifts.items():
        width = f"95 % interval {found.low:.2f} to {found.high:.2f}"
        unseen = "" if seen(found, 1.0) else ", no shift seen"
        parts.append(f"{found.value:.2f} at norm {number} ({width}{unseen}; by formula {formula.value:.2f})")
    return (
        f"With dropout {place} the batch norms, the variance of what they read at inference is, over that in training, "
        f"{listed(parts)}."
    )


def _error_figure(scene: Scene, error: Mapping[str, Values], training: Mapping[str, Values], p: float) -> ChapterFigure:
    return ChapterFigure(
        kind="points",
        title=_short(error),
        caption=f"How to read it: training and test error of each norm: without dropout, with dropout (p = {p:g}) "
        "right before every norm, and with dropout behind norm and ReLU. Bars are 95 % intervals over seeds; sentences "
        "pair the seeds, which tells more than bars that overlap.",
        x_title="",
        y_title=scene.error_title.replace("test ", ""),
        names=list(ARMS),
        percent=scene.speech.percent,
        series=pairs(
            ("training", [over_seeds(training[arm]) for arm in ARMS]),
            ("test", [over_seeds(error[arm]) for arm in ARMS]),
        ),
    )


def _shift_figure(shifts: Mapping[str, tuple[Estimate, Estimate]], p: float, seeds: int) -> ChapterFigure:
    return ChapterFigure(
        kind="points",
        title=_shift_title(shifts),
        caption=f"How to read it: the variance of what a batch norm reads at inference over that in training, with "
        f"dropout (p = {p:g}) before the norms or behind them; 1 is no shift. The formula counts the last dropout in "
        "front of a norm, not noise from further in front. The median over channels of "
        f"up to {ROWS:,} training rows; bars are 95 % intervals over {seeds} seeds.",
        x_title="",
        y_title="variance at inference / in training",
        names=list(shifts),
        series=pairs(
            ("formula", [formula for _, formula in shifts.values()]),
            ("measured", [measured for measured, _ in shifts.values()]),
        ),
    )


def _shift_title(shifts: Mapping[str, tuple[Estimate, Estimate]]) -> str:
    below = [name for name, (found, _) in shifts.items() if seen(found, 1.0) < 0]
    if len(below) == len(shifts):
        return "Every batch norm that reads noise reads less variance at inference than in training"
    if below:
        return f"A lower variance at inference was seen at {len(below)} of {len(shifts)} norms that read noise"
    return "No variance shift was seen"


def _short(error: Mapping[str, Values]) -> str:
    sides = {arm: seen(over_seeds(error[arm] - error[_alone(arm)])) for arm, (_, place) in ARMS.items() if place}
    parts = []
    for verb, side in (("helps", -1), ("hurts", 1)):
        names = [_title(arm) for arm, own in sides.items() if own == side]
        if names:
            parts.append(f"{verb} {listed(names)}")
    if not parts:
        return "No difference by dropout was seen, with a norm or without"
    return f"Dropout {', and '.join(parts)}"


def _title(arm: str) -> str:
    norm, place = ARMS[arm]
    return f"{place} {norm} norms" if norm else "without a norm"


CHAPTER = Chapter(
    name="normalisation",
    question="Does dropout go together with batch norm or layer norm, in front of it or behind?",
    measured="Test and training error with no norm, batch norm and layer norm, each without dropout, with dropout "
    "right before every norm and behind its ReLU; for batch norm the variance shift, and test error and NLL after "
    "`recalibrate_batchnorm` on the training rows. Learning rates are those that the main study chose with dropout and "
    "without.",
    tell=tell,
    trials=trials,
    run=run,
)
