"""Forms: the noise that a network has places for, each at the rate that validation chooses, judged on test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..answer.speech import listed
from ..record import ChapterFigure, ChapterSeries, Estimate, Role
from ..trial.config import Recipe
from ..trial.fold import Fold
from .by_validation import Chosen, chosen, losses
from .chapter import Answer, Chapter
from .form_networks import FORMS, RELU, STANDARD, Form, forms_of, plain_network
from .interval import compared, over_seeds, seen, sentence
from .points import points
from .scene import Results, Scene
from .train import judged, networks
from .trial import Figures, Trial

PS = (0.1, 0.2, 0.3, 0.4, 0.5)
FEW_PS = (0.1, 0.3, 0.5)  # of networks that cost more
ROLES: tuple[Role, ...] = ("noisy", "decay", "other", "plain")


def arm(form: Form, p: float) -> str:
    """The name of an arm."""
    return f"{form.name}, p = {p:g}" if p else form.quiet


def _arms(scene: Scene, form: Form) -> dict[float, str]:
    """A form's arms by rate; 0 is the network without noise."""
    ps = PS if scene.recipe.network == "perceptron" else FEW_PS
    return {p: arm(form, p) for p in (0.0, *ps)}


def trials(scene: Scene) -> list[Trial]:
    """Every form at every rate, at the learning rate that the main study chose for dropout."""
    wanted: dict[str, dict[str, float]] = {}
    for form in forms_of(scene.recipe.network):
        wanted |= {name: {"form": FORMS.index(form), "p": p} for p, name in _arms(scene, form).items()}
    return [
        trial for name, settings in wanted.items() for trial in scene.trials("forms", name, scene.few, settings)
    ]  # fmt: skip


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures."""
    form, p = FORMS[int(trial.setting("form"))], trial.setting("p")
    first = folds[trial.seeds[0]]
    inputs, outputs = first.x_train.shape[1], max(first.outputs, 1)

    def build(generator: torch.Generator) -> nn.Module:
        network = plain_network(recipe, inputs, outputs, form.quiet, generator)
        if p:
            form.put(network, p)
        return network

    return judged(networks(trial, folds, recipe, build))


def tell(scene: Scene, results: Results) -> Answer | None:
    """Each form at its rate against no noise and against standard dropout, paired by seed."""
    seeds = scene.few
    quiet = results.of(RELU, "error", seeds)
    if len(seeds) < 2 or quiet is None:
        return None
    every = forms_of(scene.recipe.network)
    picked = {form: chosen(results, _arms(scene, form), seeds) for form in every}
    found = {form: one for form, one in picked.items() if one is not None}
    standard = found.get(every[0])
    if standard is None or len(found) < 2:
        return None
    shown: dict[str, Estimate] = {}
    words: list[str] = []
    against: dict[str, Estimate] = {}
    for form, one in found.items():
        base = results.of(form.quiet, "error", seeds)
        assert base is not None  # all its rates are there
        if form.quiet != RELU:
            shown[form.quiet] = over_seeds(base - quiet)
            words.append(sentence(compared(scene.speech, form.quiet, shown[form.quiet], "ReLU without noise")))
        shown[f"{form.name}, p = {one.strength:g}"] = over_seeds(one.error - quiet)
        words.append(_against_quiet(scene, form, one, over_seeds(one.error - base)))
        if form is not every[0] and one.arm not in (RELU, standard.arm):
            against[form.name] = over_seeds(one.error - standard.error)
            words.append(_against_standard(scene, form, one, standard, against[form.name]))
    figure = ChapterFigure(
        kind="points",
        title=_short(against),
        caption=f"How to read it: the {scene.error_title} of each form at the rate that validation chose, minus "
        "that of the network without noise, paired by seed; below 0 it is better. Bars are 95 % intervals over "
        f"{len(seeds)} seeds.",
        x_title="",
        y_title=f"{scene.error_title} against no noise",
        names=list(shown),
        percent=scene.speech.percent,
        zero=True,
        series=[
            ChapterSeries(
                name="forms", role="noisy", points=points({float(n): one for n, one in enumerate(shown.values())})
            )
        ],
    )
    words = [f"{_short(against)}.", *words, _places(every)]
    return Answer([RELU, *shown], words, figure, len(seeds), [_choice(scene, results, found, seeds)])


def _against_quiet(scene: Scene, form: Form, one: Chosen, change: Estimate) -> str:
    tried = ", ".join(f"{p:g}" for p in _arms(scene, form))
    if one.strength == 0:
        return f"Of {form.name} validation chose none: of p = {tried} it was best at 0."
    base = "no noise" if form.quiet == RELU else form.quiet
    return sentence(compared(scene.speech, f"{form.name} (p = {one.strength:g} by validation)", change, base))


def _against_standard(scene: Scene, form: Form, one: Chosen, standard: Chosen, change: Estimate) -> str:
    base = f"{STANDARD} (p = {standard.strength:g})" if standard.strength else "no noise, the standard form's choice"
    what = f"{form.name} (p = {one.strength:g})" if one.strength else form.quiet
    return sentence(compared(scene.speech, what, change, base))


def _places(every: Sequence[Form]) -> str:
    """What is dropped, and which forms the network has no place for."""
    own = "; ".join(f"{form.name}: {form.where}" for form in every)
    names = {form.name for form in every}
    others = [name for name in dict.fromkeys(form.name for form in FORMS) if name not in names]
    return f"What is dropped: {own}. Not tried, for want of a place: {listed(others)}."


def _choice(scene: Scene, results: Results, found: Mapping[Form, Chosen], seeds: Sequence[int]) -> ChapterFigure:
    """Validation losses by rate: what each form's rate is chosen by."""
    by_form = {form: losses(results, _arms(scene, form), seeds) for form in found}
    return ChapterFigure(
        kind="lines",
        title=f"Validation chose {listed([f'p = {one.strength:g} for {form.name}' for form, one in found.items()])}",
        caption="How to read it: the validation loss of each form by its rate; the rate with the least mean is the one "
        f"that is judged on test rows. Bars are 95 % intervals over {len(seeds)} seeds.",
        x_title="p",
        y_title="validation loss (Brier score)" if scene.task == "classification" else "validation loss",
        series=[
            ChapterSeries(
                name=form.name, role=role, points=points({p: over_seeds(values) for p, values in values_by_p.items()})
            )
            for role, (form, values_by_p) in zip(ROLES, by_form.items(), strict=False)
        ],
    )


def _short(against: Mapping[str, Estimate]) -> str:
    better = [name for name, one in against.items() if seen(one) < 0]
    worse = [name for name, one in against.items() if seen(one) > 0]
    if not against:
        return "Validation chose no noise of any form"
    if not better and not worse:
        return f"No difference from {STANDARD} was seen in any other form"
    parts = []
    for names, what in ((better, "a lower"), (worse, "a higher")):
        if names:
            parts.append(f"{listed(names)} {'has' if len(names) == 1 else 'have'} {what} error")
    text = ", and ".join(parts)
    return f"{text[0].upper()}{text[1:]} than {STANDARD}"


CHAPTER = Chapter(
    name="forms",
    question="Which form of dropout, each at its own rate?",
    measured="The test error of each form that the network has a place for. Its rate is chosen from 0, 0.1, ..., 0.5 "
    "(0, 0.1, 0.3, 0.5 for other networks than perceptrons) by the validation loss, by one rule for all; the learning "
    "rate is the one that the main study chose for dropout.",
    tell=tell,
    trials=trials,
    run=run,
    any_network=True,
)
