"""Convergence: how many steps dropout costs, and what the training loss with noise is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..record import ChapterFigure
from ..trial.outcome import Outcome
from .chapter import Answer, Chapter
from .interval import Values, over_seeds, ratio_over_seeds, seen
from .points import pair
from .scene import Results, Scene

NEAR = 1.1  # the loss that steps are counted to: so many times the least of the arm whose least is higher


@dataclass(frozen=True)
class Split:
    """A kept state's losses a row: training rows with noise, without it, and test rows without it, one a seed."""

    noisy: Values
    quiet: Values
    test: Values

    @property
    def noise(self) -> Values:
        return self.noisy - self.quiet

    @property
    def overfitting(self) -> Values:
        return self.test - self.quiet


def tell(scene: Scene, results: Results) -> Answer | None:
    """From the learning curves of the main study."""
    kept = {
        seed: (scene.plain[seed], scene.noisy[seed])
        for seed in scene.every_seed
        if all(_at_best(arm[seed]) is not None for arm in (scene.plain, scene.noisy))
    }
    if len(kept) < 2:
        return None
    plain, noisy = ([pair[n] for pair in kept.values()] for n in range(2))
    without, with_noise = (_split(scene, runs) for runs in (plain, noisy))
    p, seeds = scene.best_p, len(kept)
    words = [*_steps(plain, noisy, p), _training_errors(scene, plain, noisy), _parts(scene, with_noise, without, p)]
    series = pair(p, *((split.noisy, split.quiet, split.test) for split in (without, with_noise)))
    figure = ChapterFigure(
        kind="points",
        title=_short(with_noise, p),
        caption=f"How to read it: the loss that training lowers, {_unit(scene)}, of the state that is kept: on "
        "training rows with dropout on, on training rows with it off, and on test rows. The step down is the noise's "
        f"part, the step up to the test rows is overfitting. Bars are 95 % intervals over {seeds} seeds.",
        x_title="",
        y_title=f"loss ({_unit(scene)})",
        names=["training, noise on", "training, noise off", "test"],
        series=series,
    )
    return Answer(["p = 0", f"p = {p:g}"], words, figure, seeds)


def steps_to(outcome: Outcome, loss: float) -> float:
    """The step of the first point of a curve at which the validation loss is so low; infinite where none is."""
    return float(next((point.step for point in outcome.curve if point.val_loss <= loss), math.inf))


def _at_best(outcome: Outcome) -> float | None:
    """The training loss with noise, just before the state that is kept."""
    return next((point.train_loss for point in outcome.curve if point.step == outcome.best_step), None)


def _split(scene: Scene, runs: list[Outcome]) -> Split:
    """For classes in nats; for numbers in squared standard deviations of the target."""
    noisy = np.array([_at_best(run) for run in runs], dtype=float)
    if scene.task == "classification":
        return Split(noisy, np.array([run.train.nll for run in runs]), np.array([scene.test(run).nll for run in runs]))
    return Split(noisy, np.array([run.train.loss for run in runs]), np.array([scene.test(run).loss for run in runs]))


def _steps(plain: list[Outcome], noisy: list[Outcome], p: float) -> list[str]:
    pairs = []
    for one, other in zip(plain, noisy, strict=True):
        goal = NEAR * max(one.val.loss, other.val.loss)
        pairs.append((steps_to(one, goal), steps_to(other, goal)))
    both = np.array([pair for pair in pairs if all(map(math.isfinite, pair))])
    if len(both) < 2:
        return []
    found = ratio_over_seeds(both[:, 1], both[:, 0])
    medians = f"{np.median(both[:, 1]):,.0f} at p = {p:g}, {np.median(both[:, 0]):,.0f} at p = 0 (medians)"
    goal_said = f"a validation loss within {100 * (NEAR - 1):.0f} % of the least that both reach"
    width = f"a factor of {found.value:.2g}, 95 % interval {found.low:.2g} to {found.high:.2g}"
    side = seen(found, 1.0)
    if side == 0:
        return [f"No difference was seen in the steps to {goal_said}: {medians}; {width}."]
    return [f"Dropout takes {'more' if side > 0 else 'fewer'} steps to {goal_said}: {medians}; {width}."]


def _training_errors(scene: Scene, plain: list[Outcome], noisy: list[Outcome]) -> str:
    errors = [np.array([run.train.error for run in runs]) for runs in (plain, noisy)]
    found = over_seeds(errors[1] - errors[0])
    speech, side = scene.speech, seen(found)
    what = scene.error_title.replace("test", "training")
    values = f"{speech.value(float(errors[1].mean()))} with dropout, {speech.value(float(errors[0].mean()))} without"
    if side == 0:
        return f"No difference was seen in the final {what}: {values} ({_span(scene, found.low, found.high)})."
    end = "higher" if side > 0 else "lower"
    return f"Dropout ends at a {end} {what}: {values} ({_span(scene, found.low, found.high)})."


def _parts(scene: Scene, found: Split, without: Split, p: float) -> str:
    unit = _unit(scene)
    noise, over = over_seeds(found.noise), over_seeds(found.overfitting)
    change = over_seeds(found.overfitting - without.overfitting)
    said = (
        f"At p = {p:g} the training loss is {found.noisy.mean():.3f} {unit} with noise and {found.quiet.mean():.3f} "
        f"without: the noise's part is {noise.value:.3f} (95 % interval {noise.low:.3f} to {noise.high:.3f}). The test "
        f"loss is {found.test.mean():.3f}: overfitting's part is {over.value:.3f} ({over.low:.3f} to {over.high:.3f}), "
        f"at p = 0 {without.overfitting.mean():.3f}"
    )
    side = seen(change)
    if side == 0:
        return f"{said}; between these no difference was seen ({change.low:+.3f} to {change.high:+.3f})."
    return f"{said}: dropout {'lowers' if side < 0 else 'raises'} it ({change.low:+.3f} to {change.high:+.3f})."


def _short(found: Split, p: float) -> str:
    noise = over_seeds(found.noise)
    if seen(noise) == 0:
        return f"No part of the noise in the training loss at p = {p:g} was seen"
    return f"The noise makes up {noise.value:.3f} of the training loss at p = {p:g}"


def _span(scene: Scene, low: float, high: float) -> str:
    _, least, most = scene.speech.told_apart((low + high) / 2, low, high)
    return f"95 % interval of the difference {least} to {most}{' points' if scene.speech.percent else ''}"


def _unit(scene: Scene) -> str:
    return "nats a row" if scene.task == "classification" else "squared standard deviations"


CHAPTER = Chapter(
    name="convergence",
    question="What does dropout cost in steps, and what is the training loss made of?",
    measured="Steps to a validation loss that both arms reach, the training error in the end, and the loss with noise, "
    "without noise and on test rows, from the learning curves of the main study.",
    tell=tell,
    any_network=True,
)
