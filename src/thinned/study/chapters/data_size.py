"""Data size: with how many training rows dropout helps, and where it stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from ...fit.loop import batch_size
from ...noise import fold_in
from ..record import ChapterFigure, ChapterSeries, Estimate
from ..trial.config import Recipe
from ..trial.fold import Fold
from .chapter import Answer, Chapter
from .interval import compared, over_seeds, seen, sentence
from .points import points
from .scene import Results, Scene
from .train import judged, perceptrons
from .trial import Figures, Trial

SHARES = (0.1, 0.25, 0.5)  # of the training rows; all of them are the main study's
FEWEST = 10  # rows
_ROWS = 10  # a child of a seed's key, after those of weights, order and masks


def arm(p: float, share: float) -> str:
    """The name of an arm."""
    return f"p = {p:g} on {100 * share:.0f} %"


def trials(scene: Scene) -> list[Trial]:
    """Both arms on each share of the rows, at the learning rate that each has on all of them."""
    found = []
    for share in SHARES:
        for p in (0.0, scene.best_p):
            found += scene.trials("data-size", arm(p, share), scene.seeds, {"share": share, "p": p}, noisy=p > 0)
    return found


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures; the rows of a smaller share are among those of a larger one."""
    fewer = {seed: _fewer(folds[seed], trial.setting("share"), fold_in(recipe.key, seed)) for seed in trial.seeds}
    rows = len(fewer[trial.seeds[0]].x_train)
    found = judged(perceptrons(trial, fewer, recipe, trial.setting("p"), batch_size(rows)))
    return found | {"rows": [float(rows)] * len(trial.seeds)}


def _fewer(fold: Fold, share: float, key: int) -> Fold:
    order = torch.randperm(len(fold.x_train), generator=torch.Generator().manual_seed(fold_in(key, _ROWS))).numpy()
    rows = order[: max(round(share * len(order)), min(FEWEST, len(order)))]
    return replace(fold, x_train=fold.x_train[rows], y_train=fold.y_train[rows])


def tell(scene: Scene, results: Results) -> Answer | None:
    """Dropout against none at each size, paired by seed."""
    seeds, p = scene.seeds, scene.best_p
    if len(seeds) < 2:
        return None
    sizes: dict[float, tuple[Estimate, Estimate]] = {}
    changes: dict[float, Estimate] = {}
    for share in SHARES:
        plain, noisy = (results.of(arm(rate, share), "error", seeds) for rate in (0.0, p))
        rows = results.of(arm(p, share), "rows", seeds)
        if plain is not None and noisy is not None and rows is not None:
            sizes[float(rows[0])] = over_seeds(plain), over_seeds(noisy)
            changes[float(rows[0])] = over_seeds(noisy - plain)
    if not sizes:
        return None
    plain, noisy = scene.errors(scene.plain, seeds), scene.errors(scene.noisy, seeds)
    whole = float(len(scene.folds[seeds[0]].x_train))
    sizes[whole], changes[whole] = (over_seeds(plain), over_seeds(noisy)), over_seeds(noisy - plain)
    words = [
        sentence(compared(scene.speech, f"dropout (p = {p:g}) on {rows:,.0f} training rows", found, "none"))
        for rows, found in sorted(changes.items())
    ]
    figure = ChapterFigure(
        kind="lines",
        title=_short(changes),
        caption=f"How to read it: the {scene.error_title} by the number of training rows, without dropout and at p = "
        f"{p:g}, each at the learning rate that was best on all rows. Bars are 95 % intervals over {len(seeds)} seeds.",
        x_title="training rows",
        y_title=scene.error_title,
        percent=scene.speech.percent,
        log_x=True,
        series=[
            ChapterSeries(name="p = 0", role="plain", points=points({rows: both[0] for rows, both in sizes.items()})),
            ChapterSeries(
                name=f"p = {p:g}", role="noisy", points=points({rows: both[1] for rows, both in sizes.items()})
            ),
        ],
    )
    return Answer([f"{rows:,.0f} rows" for rows in sorted(sizes)], [_short(changes) + ".", *words], figure, len(seeds))


def _short(changes: dict[float, Estimate]) -> str:
    helps = [rows for rows, found in sorted(changes.items()) if seen(found) < 0]
    hurts = [rows for rows, found in sorted(changes.items()) if seen(found) > 0]
    parts = [
        f"dropout {verb} on {', '.join(f'{n:,.0f}' for n in rows)} training rows"
        for verb, rows in (("helps", helps), ("hurts", hurts))
        if rows
    ]
    if not parts:
        return "No difference was seen at any number of training rows"
    rest = "" if len(helps) + len(hurts) == len(changes) else ", and no difference was seen on the others"
    text = ", and ".join(parts) + rest
    return text[0].upper() + text[1:]


CHAPTER = Chapter(
    name="data-size",
    question="With how many training rows does dropout help?",
    measured="The test error after training on 10, 25, 50 and 100 % of the training rows, prepared as all of them are.",
    tell=tell,
    trials=trials,
    run=run,
)
