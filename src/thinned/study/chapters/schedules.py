"""Schedules and companions: p that moves over the steps, a bound on weights, weight decay, with dropout and without."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from ...fit.cycles import cycles
from ...fit.separate import Between
from ...nn import GRU, LSTM, Dropout
from ...nn.constraint import MaxNorm
from ...schedules import Constant, Curriculum, Curve, EarlyDropout, LateDropout
from ..answer.speech import listed
from ..networks.named import made
from ..networks.shape import InputShape
from ..record import ChapterFigure, ChapterSeries, Estimate
from ..trial.config import Recipe
from ..trial.fold import Fold
from .by_validation import Chosen, chosen
from .chapter import Answer, Chapter
from .interval import Values, compared, over_seeds, seen, sentence
from .points import points
from .scene import Results, Scene
from .train import judged, networks
from .trial import Figures, Trial

NONE, CONSTANT = "neither", "dropout"
EARLY, LATE, CURRICULUM = "early dropout", "late dropout", "curriculum"
SCHEDULES = (EARLY, LATE, CURRICULUM)
MAX_NORM, DECAY = "max-norm", "weight decay"
MAX_NORMS, DECAYS = (1.0, 2.0, 4.0), (0.125, 0.5, 2.0)
PACE = 10.0  # over the budget: at its end a curriculum is within 5e-5 of p (Morerio et al. 2017)


def budget(scene: Scene) -> int:
    """The steps of every arm: as many as the main study's longer arm had at most, so that none is cut short."""
    return max(runs[seed].steps for runs in (scene.plain, scene.noisy) for seed in scene.few)


def turn(steps: int) -> int:
    """The step at which early dropout has ended and late dropout begins."""
    return list(cycles(steps))[-1].start or math.ceil(steps / 2)


def curves(p: float, steps: int) -> dict[str, Curve]:
    """p over the steps. Early dropout falls to 0 until the last cycle begins; late dropout begins with it.

    Where there is one cycle alone, half of the steps stand for it.

    >>> early, late = (curves(0.5, 700)[name] for name in (EARLY, LATE))
    >>> early(0), early(150), early(300), late(299), late(300)
    (0.5, 0.25, 0.0, 0.0, 0.5)
    """
    return {
        CONSTANT: Constant(p),
        EARLY: EarlyDropout(p, turn(steps)),
        LATE: LateDropout(p, turn(steps)),
        CURRICULUM: Curriculum(p, PACE / steps),
    }


def _companions(noisy: bool) -> dict[str, dict[float, str]]:
    """The arms of max-norm and weight decay by their strength, alone or with dropout."""
    beside = f"{CONSTANT} and " if noisy else ""
    return {
        f"{beside}{kind}": {value: f"{beside}{kind} {value:g}" for value in values}
        for kind, values in ((MAX_NORM, MAX_NORMS), (DECAY, DECAYS))
    }


def trials(scene: Scene) -> list[Trial]:
    """Every arm for the same number of steps."""
    steps, p, found = budget(scene), scene.shown_p, list[Trial]()
    wanted = [(NONE, 0.0, 0.0)] + [(name, p, 0.0) for name in (CONSTANT, *SCHEDULES)]
    for noisy in (False, True):
        for arms in _companions(noisy).values():
            wanted += [(name, p if noisy else 0.0, strength) for strength, name in arms.items()]
    for name, rate, strength in wanted:
        settings = {"p": rate, "strength": strength, "steps": steps}
        found += scene.trials("schedules", name, scene.few, settings, noisy=rate > 0)
    return found


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    p, strength, steps = trial.setting("p"), trial.setting("strength"), int(trial.setting("steps"))
    first = folds[trial.seeds[0]]
    shape = recipe.shape if recipe.shape.inputs else InputShape(first.x_train.shape[1])
    bounded, decayed = MAX_NORM in trial.arm, DECAY in trial.arm

    def build(generator: torch.Generator) -> nn.Module:
        return made(recipe.network, shape, recipe.hidden, max(first.outputs, 1), p, 0.0, generator)

    between: Between | None = None
    if bounded:
        between = partial(_bounded, c=strength)
    elif trial.arm in SCHEDULES:
        between = partial(_scheduled, curve=curves(p, steps)[trial.arm])
    learnt = networks(
        trial, folds, recipe, build, weight_decay=strength if decayed else 0.0, between=between, steps=steps
    )
    return judged(learnt)


def _bounded(network: nn.Module, c: float) -> Callable[[int], None]:
    bound = MaxNorm(network, c)
    return lambda steps: bound.apply_()


def _scheduled(network: nn.Module, curve: Curve) -> Callable[[int], None]:
    places = [
        (module, "p" if isinstance(module, Dropout) else "dropout")
        for name, module in network.named_modules()
        if isinstance(module, (Dropout, LSTM, GRU)) and name != "input_dropout"
    ]

    def move(steps: int) -> None:
        for module, name in places:
            setattr(module, name, curve(steps))

    return move


def tell(scene: Scene, results: Results) -> Answer | None:
    """Schedules against a constant p, companions against none and against dropout alone, paired by seed."""
    seeds, p = scene.few, scene.shown_p
    alone = {name: results.of(name, "error", seeds) for name in (NONE, CONSTANT, *SCHEDULES)}
    error = {name: found for name, found in alone.items() if found is not None}
    arms = _companions(False) | _companions(True)
    strengths = {name: chosen(results, own, seeds) for name, own in arms.items()}
    picked = {name: found for name, found in strengths.items() if found is not None}
    if len(seeds) < 2 or len(error) < len(alone) or len(picked) < len(arms):
        return None
    shown = {f"{name}, p = {p:g}": error[name] for name in (CONSTANT, *SCHEDULES)}
    shown |= {_title(name, found): found.error for name, found in picked.items()}
    constant = error[CONSTANT]
    words = [_said(scene, f"dropout (p = {p:g})", constant - error[NONE], "none")]
    for name in SCHEDULES:
        said = _said(scene, name, error[name] - constant, f"a constant p = {p:g}")
        words.append(said + _before_turn(results, name, scene))
    for name, found in picked.items():
        base, own = ("dropout alone", constant) if name.startswith(CONSTANT) else ("none", error[NONE])
        words.append(_said(scene, f"{_title(name, found)} (by validation)", found.error - own, base))
    changes = {name: over_seeds(values - error[NONE]) for name, values in shown.items()}
    short = _short({name: over_seeds(error[name] - constant) for name in SCHEDULES})
    figure = ChapterFigure(
        kind="points",
        title=short,
        caption=f"How to read it: the {scene.error_title} minus that with neither dropout nor a companion, paired "
        f"by seed, all after {budget(scene):,} steps; below 0 it is better. Bars are 95 % intervals over {len(seeds)} "
        "seeds.",
        x_title="",
        y_title=f"{scene.error_title} against neither",
        names=list(changes),
        percent=scene.speech.percent,
        zero=True,
        series=[
            ChapterSeries(
                name="arms", role="noisy", points=points({float(n): one for n, one in enumerate(changes.values())})
            )
        ],
    )
    return Answer([NONE, *shown], [f"{short}.", *words], figure, len(seeds))


def _said(scene: Scene, what: str, difference: Values, base: str) -> str:
    return sentence(compared(scene.speech, what, over_seeds(difference), base))


def _title(name: str, found: Chosen) -> str:
    return f"{name} {found.strength:g}"


def _before_turn(results: Results, name: str, scene: Scene) -> str:
    """Of how many seeds the state that is kept is from before the turn, where early and late dropout change."""
    steps = results.of(name, "steps", scene.few)
    if steps is None or name == CURRICULUM:
        return ""
    count = int((steps <= turn(budget(scene))).sum())
    if not count:
        return ""
    what = "late dropout began" if name == LATE else "early dropout had ended"
    return f" On {count} of {len(steps)} seeds the state that validation kept is from before {what}."


def _short(against: Mapping[str, Estimate]) -> str:
    better = [name for name, one in against.items() if seen(one) < 0]
    worse = [name for name, one in against.items() if seen(one) > 0]
    if not better and not worse:
        return "No schedule was seen to differ from a constant p"
    parts = [
        f"{listed(names)} {'has' if len(names) == 1 else 'have'} a {side} error"
        for names, side in ((better, "lower"), (worse, "higher"))
        if names
    ]
    text = ", and ".join(parts)
    return f"{text[0].upper()}{text[1:]} than a constant p"


CHAPTER = Chapter(
    name="schedules",
    question="Does it pay to move p over the steps, and what do max-norm and weight decay add?",
    measured="The test error after equal numbers of steps, of the state with the least validation loss at a cycle's "
    "end. Early dropout falls from p to 0 until the last cycle begins, late dropout begins with it, a curriculum rises "
    "towards p. The bound of max-norm (1, 2 or 4) and the weight decay (0.125, 0.5 or 2) are chosen by validation. "
    "Learning rates are those that the main study chose with dropout and without.",
    tell=tell,
    trials=trials,
    run=run,
    any_network=True,
)
