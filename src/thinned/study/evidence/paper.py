"""A paper as a row of a table: what it claims, what is trained here, and the claims judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..chapters.scene import Results
from ..chapters.trial import Figures, Trial
from ..error import StudyError
from ..trial.config import Recipe
from ..trial.engine import Failed
from ..trial.fold import Fold
from ..trial.pool import Pool
from .claim import Claim, Judged, judge

QUICK_STEPS = 20  # of a run that shows what a full one does: its verdicts mean nothing


@dataclass(frozen=True)
class Paper:
    """A paper, run again in small.

    Arguments:
        name: what `thinned reproduce` calls it.
        reference: authors, year and title.
        setting: data and networks here, in a sentence or two.
        elsewhere: the paper's data that are not at hand, so that none of their figures is ours.
        recipe: what its trainings share.
        folds: rows for each seed.
        trials: what is trained or measured.
        run: a trial's figures.
        claims: what is judged.
        seeds: how many, unless asked otherwise.
    """

    name: str
    reference: str
    setting: str
    elsewhere: str
    recipe: Recipe
    folds: Callable[[Sequence[int]], Mapping[int, Fold]]
    trials: Callable[[Sequence[int]], list[Trial]]
    run: Callable[[Trial, Mapping[int, Fold], Recipe], Figures]
    claims: tuple[Claim, ...]
    seeds: int = 5


def reproduce(
    paper: Paper, seeds: Sequence[int], *, quick: bool = False, say: Callable[[str], None] = lambda text: None
) -> list[Judged]:
    """Run a paper's trials, one after another on one torch thread, and judge its claims. Equal calls, equal numbers.

    Arguments:
        seeds: each has other rows, first weights, orders and masks; arms are paired by seed.
        quick: no network has more than 20 steps.
        say: told before each trial.

    Raises StudyError: data that are not installed, or a trial that failed.
    """
    recipe = replace(paper.recipe, max_steps=min(paper.recipe.max_steps, QUICK_STEPS)) if quick else paper.recipe
    trials = paper.trials(seeds)
    finished: dict[Trial, Figures] = {}
    with Pool(paper.folds(seeds), recipe, jobs=1) as pool:
        say(_under_way(trials, 0))
        for number, (trial, done) in enumerate(pool.map(paper.run, trials), 1):
            if isinstance(done, Failed):
                raise StudyError(
                    f"`thinned reproduce`: {paper.name}, {trial.arm}: the trial failed: {done.reason}. Give the same "
                    "command again, and with other --seeds if it fails again."
                )
            finished[trial] = done
            say(_under_way(trials, number))
    return [judge(claim, Results(finished), seeds) for claim in paper.claims]


def _under_way(trials: Sequence[Trial], number: int) -> str:
    doing = trials[number].arm if number < len(trials) else "done"
    return f"{number} of {len(trials)} trials: {doing}"
