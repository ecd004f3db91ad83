"""A paper as a row of a table: what it claims, what is trained here, and the claims judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from ..chapters.results import TrialFiles
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
    paper: Paper,
    seeds: Sequence[int],
    out: Path,
    *,
    quick: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> list[Judged]:
    """Run a paper's trials, one after another on one torch thread, and judge its claims. Equal calls, equal numbers.

    Arguments:
        out: a folder, in which each trial is kept as soon as it is finished: none is run twice with the same versions
            of thinned and torch.
        seeds: each has other rows, first weights, orders and masks; arms are paired by seed.
        quick: no network has more than 20 steps.
        say: told before each trial.

    Raises StudyError: data that are not installed, a trial that failed, or a folder that can't be written to.
    """
    recipe = replace(paper.recipe, max_steps=min(paper.recipe.max_steps, QUICK_STEPS)) if quick else paper.recipe
    files = TrialFiles(out / paper.name, recipe, {name: version(name) for name in ("thinned", "torch")})
    trials = paper.trials(seeds)
    finished = files.finished(trials)
    open_trials = [trial for trial in trials if trial not in finished]
    with Pool(paper.folds(seeds) if open_trials else {}, recipe, jobs=1) as pool:
        say(_under_way(trials, finished))
        for trial, done in pool.map(paper.run, open_trials):
            if isinstance(done, Failed):
                raise StudyError(
                    f"`thinned reproduce`: {paper.name}, {trial.arm}: the trial failed: {done.reason}. Give the same "
                    "command again, and with other --seeds if it fails again."
                )
            files.add(trial, done)
            finished[trial] = done
            say(_under_way(trials, finished))
    return [judge(claim, Results(finished), seeds) for claim in paper.claims]


def _under_way(trials: Sequence[Trial], finished: Collection[Trial]) -> str:
    doing = next((trial.arm for trial in trials if trial not in finished), "done")
    return f"{len(finished)} of {len(trials)} trials: {doing}"
