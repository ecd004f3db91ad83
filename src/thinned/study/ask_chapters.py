"""A study's chapters, after its main question: what they train, and what they say."""

from __future__ import annotations

import time as clock

from .answer.conclude import Conclusion
from .answer.metric import METRICS
from .answer.standing import ERRORS
from .chapters.results import FOLDER, TrialFiles
from .chapters.scene import Results, Scene
from .chapters.table import CHAPTERS, run_trial
from .record import ChapterRecord
from .trial.engine import Failed
from .underway import Underway


def ask_chapters(underway: Underway, found: Conclusion) -> list[ChapterRecord]:
    """Train what the chosen chapters want, each trial kept as soon as it is finished, and let them tell.

    A chapter of which too little is finished, for want of time or since trials failed, has no record.
    """
    wanted = [one for one in CHAPTERS if one.name in underway.options.asked]
    scene = _scene(underway, found)
    files = TrialFiles(underway.options.out / FOLDER, underway.recipe)
    trials = {one.name: one.trials(scene) for one in wanted}
    every = [trial for own in trials.values() for trial in own]
    finished = files.finished(every)
    open_trials = [trial for trial in every if trial not in finished]
    budget = underway.options.budget
    deadline = None if budget is None else underway.start + budget - underway.reserve()
    if deadline is None or clock.monotonic() < deadline:
        if open_trials:
            underway.say(f"asking {open_trials[0].chapter}")
        for trial, done in underway.pool.map(run_trial, open_trials, deadline):
            if isinstance(done, Failed):
                underway.failed[trial.name] = done.reason
            else:
                underway.journal.check()
                files.add(trial, done)
                finished[trial] = done
            underway.say(f"asking {trial.chapter}")
    records = []
    for one in wanted:
        results = Results({trial: finished[trial] for trial in trials[one.name] if trial in finished})
        record = one.record(scene, results)
        if record is not None:
            records.append(record)
    return records


def _scene(underway: Underway, found: Conclusion) -> Scene:
    task = underway.data.task
    return Scene(
        task=task,
        error_title=METRICS[ERRORS[task]].title,
        target=underway.data.target,
        best_p=found.best_p,
        chosen_p=found.network.p,
        plain={run.config.seed: run for run in found.plain.runs},
        noisy={run.config.seed: run for run in found.noisy.runs},
        finished=underway.finished,
        folds=underway.folds,
        recipe=underway.recipe,
        preparations=underway.preparations,
        pixels=underway.data.pixels,
        image=None if underway.data.image is None else underway.data.image.size,
    )
