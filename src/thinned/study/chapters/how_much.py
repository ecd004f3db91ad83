"""How much: p and the learning rate together, and whether the best learning rate moves with p."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from ..record import ChapterFigure, ChapterMap
from .chapter import Answer, Chapter
from .interval import compared, over_seeds, seen, sentence
from .scene import Results, Scene

SPAN = 0.5  # of p: what a move is said over


def tell(scene: Scene, results: Results) -> Answer | None:
    """From the main study's search: the best learning rate at each p, between those tried by a parabola."""
    losses = _losses(scene)
    ps = sorted({p for p, _ in losses})
    every = sorted({seed for _, seed in losses})
    seeds = [seed for seed in every if all(len(losses.get((p, seed), {})) > 1 for p in ps)]
    if len(ps) < 2 or not seeds:
        return None
    rates = {p: [best_rate(losses[p, seed]) for seed in seeds] for p in ps}
    ridge = [float(np.exp(np.mean(np.log(rates[p])))) for p in ps]
    slopes = [float(np.polyfit(ps, [math.log(rates[p][n]) for p in ps], 1)[0]) for n in range(len(seeds))]
    found = over_seeds(np.round([SPAN * slope for slope in slopes], 9))  # equal rates have a slope of 0, not of 1e-16
    words, short = _words(ps, ridge, found.value, found.low, found.high, seen(found), len(seeds))
    lrs = sorted({lr for p in ps for seed in seeds for lr in losses[p, seed]}, reverse=True)
    values = [[_mean([losses[p, seed].get(lr) for seed in seeds]) for p in ps] for lr in lrs]
    figure = ChapterFigure(
        kind="map",
        title=short,
        caption="How to read it: the validation loss by learning rate and p, the mean over seeds: low stands out. "
        "The line is the ridge, the best learning rate at each p, between those tried by a parabola. Empty cells were "
        "not run, or a network diverged there.",
        x_title="dropout probability p",
        y_title="learning rate",
        map=ChapterMap(rows=lrs, columns=ps, values=values, ridge=ridge),
    )
    return Answer([f"p = {p:g}" for p in ps], [*_helps(scene), *words], figure, len(seeds))


def _helps(scene: Scene) -> list[str]:
    """What the best rate above 0 does to the test error, against none."""
    seeds = scene.every_seed
    if len(seeds) < 2:
        return []
    found = over_seeds(scene.errors(scene.noisy, seeds) - scene.errors(scene.plain, seeds))
    what = f"dropout of p = {scene.best_p:g}, of the rates above 0 the best by validation,"
    said = sentence(compared(scene.speech, what, found, "p = 0"))
    return [f"{said[:-1]}, on the same {len(seeds)} seeds."]


def best_rate(losses: dict[float, float]) -> float:
    """The learning rate with the least loss, between those tried by a parabola through the least and its neighbours.

    >>> round(best_rate({0.001: 1.0, 0.01: 0.0, 0.1: 1.0}), 6)
    0.01
    """
    lrs = sorted(losses)
    best = min(range(len(lrs)), key=lambda n: losses[lrs[n]])
    if best in (0, len(lrs) - 1):
        return lrs[best]
    around = lrs[best - 1 : best + 2]
    values = [losses[lr] for lr in around]
    if not all(map(math.isfinite, values)):
        return lrs[best]
    x = np.log(around)
    bend, slope, _ = np.polyfit(x - x[1], values, 2)
    if bend <= 0:
        return lrs[best]
    return float(np.exp(np.clip(x[1] - slope / (2 * bend), x[0], x[2])))


def _losses(scene: Scene) -> dict[tuple[float, int], dict[float, float]]:
    """Validation losses by p and seed, each by learning rate."""
    found: defaultdict[tuple[float, int], dict[float, float]] = defaultdict(dict)
    for config, outcome in scene.finished.items():
        if config.level.arm == "dropout":
            found[config.level.p, config.seed][config.lr] = outcome.val.loss
    return dict(found)


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(there)) if len(there) == len(values) else None


def _words(
    ps: list[float], ridge: list[float], value: float, low: float, high: float, side: int, seeds: int
) -> tuple[list[str], str]:
    """Sentences, and the short one for the figure."""
    ends = f"{ridge[0]:.2g} at p = {ps[0]:g} and {ridge[-1]:.2g} at p = {ps[-1]:g}"
    if side == 0:
        width = (
            f"over {SPAN:g} of p it changes by a factor of {math.exp(value):.2g} (95 % interval {math.exp(low):.2g} to "
            f"{math.exp(high):.2g}, {seeds} seeds), which holds 1"
            if math.isfinite(high - low) and high - low < 20
            else f"{seeds} {'seed' if seeds == 1 else 'seeds'} can't tell"
        )
        return [
            f"No move of the best learning rate with p was seen: it is {ends}; {width}."
        ], "No move of the best learning rate with p was seen"
    verb = "rises" if side > 0 else "falls"
    return [
        f"The best learning rate {verb} with p, from {ridge[0]:.2g} at p = {ps[0]:g} to {ridge[-1]:.2g} at p = "
        f"{ps[-1]:g}: over {SPAN:g} of p by a factor of {math.exp(value):.2g} (95 % interval {math.exp(low):.2g} to "
        f"{math.exp(high):.2g}, {seeds} seeds). A rate tuned without dropout is not the best with it."
    ], f"The best learning rate {verb} with p"


CHAPTER = Chapter(
    name="how-much",
    question="How much dropout, and does the best learning rate move with it?",
    measured="The validation loss at every p and learning rate that the main study's search tried, on the same seeds; "
    "the test error at the best p above 0 against p = 0, each at its own learning rate.",
    tell=tell,
    any_network=True,
)
