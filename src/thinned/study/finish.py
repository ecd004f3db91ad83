"""A study's end: other models, the conclusion, the weights of the networks to take away, and the folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import partial
from typing import Literal

from . import results
from .answer.caution import cautions, listed_failures
from .answer.conclude import Conclusion, conclude, said_of
from .answer.metric import METRICS
from .answer.standing import ERRORS
from .answer.words import say
from .ask_chapters import ask_chapters
from .data.parts import notes as notes_on_parts
from .error import StudyError
from .keep.recorded_weights import RecordedWeights
from .networks.named import WORD_NETWORKS
from .record import ChapterRecord, RunLogRecord, Study
from .trial.config import Config
from .trial.engine import Failed
from .trial.outcome import Weights
from .trial.unit import weights_again
from .underway import Underway


def finish(underway: Underway, stopped: Literal["", "budget"]) -> Study:
    """Judge what is finished, train chosen networks again whose weights are not at hand, and write the folder.

    Raises:
        StudyError: too little is finished for an answer, or what it needs has diverged; the runs are written.
    """
    underway.training_ends()
    with underway.pool:
        underway.say("comparing with other models")
        underway.pool.finish(underway.others)
        underway.failed |= underway.others.failed
        try:
            found = _conclude(underway)
        except StudyError:
            write_runs(underway)
            raise
        if found is None:
            write_runs(underway)
            raise StudyError(
                f"{underway.options.out}: no answer yet: {len(underway.finished):,} runs are finished and kept. Give "
                "the same command again to go on, with a larger --budget if it had one."
                + "".join(f" {said}" for said in listed_failures(underway.failed)[:1])
            )
        weights = _weights(underway, found)
        chapters = ask_chapters(underway, found)
    underway.say("writing the report")
    study = _record(underway, found, stopped, chapters)
    _write(underway, study, found, weights)
    return study


def write_runs(underway: Underway) -> None:
    """Write the runs that are finished, whether there is an answer or not."""
    results.write_runs(underway.options.out, underway.choosers(), underway.finished, underway.folds)


def _conclude(underway: Underway) -> Conclusion | None:
    choosers, losses, others = underway.choosers(), underway.losses(), underway.others.answers()
    return conclude(choosers, underway.finished, losses, underway.folds, others, underway.data.task, underway.metric)


def _weights(underway: Underway, found: Conclusion) -> dict[Config, Weights]:
    """The weights of the networks to take away, and of two whose hidden layers are shown."""
    wanted = {run.config for run in found.chosen.runs} | set(_shown(found))
    record = RecordedWeights(underway.options.out)
    weights: dict[Config, Weights] = {}
    for outcome in (underway.finished[config] for config in sorted(wanted)):
        kept = outcome.weights or record.read(outcome)
        if kept is not None:
            weights[outcome.config] = kept
    units = sorted({underway.journal.unit_of(config) for config in wanted - weights.keys()})
    if units:
        underway.say("training networks to take away again, for their weights")
    for unit, done in underway.pool.map(partial(weights_again, configs=frozenset(wanted)), units):
        if isinstance(done, Failed):
            raise StudyError(f"{unit.name} could not be trained again for its weights: {done.reason}")
        weights.update(done)
    record.keep(underway.finished, weights)
    return weights


def _record(
    underway: Underway, found: Conclusion, stopped: Literal["", "budget"], chapters: list[ChapterRecord]
) -> Study:
    data, size, metric = underway.data, underway.size, METRICS[underway.metric]
    study = Study(
        title=data.title,
        source=data.source,
        task=data.task,
        metric=underway.metric,
        metric_title=metric.title,
        unit=data.target if metric.unit == "target" else metric.unit,
        error_title=METRICS[ERRORS[data.task]].title,
        target=data.target,
        classes=[str(name) for name in data.classes],
        features=data.features.shape[1],
        columns=underway.columns,
        rows_train=size.train,
        rows_val=size.val,
        rows_test=size.test,
        outer=size.outer,
        next_word=data.stretch > 0,
        network_kind=underway.network,
        hidden=list(underway.recipe.hidden),
        batch=underway.recipe.batch,
        max_steps=underway.recipe.max_steps,
        seed=underway.options.seed,
        seeds=underway.seeds,
        ps=list(underway.grid.ps),
        lrs=sorted({config.lr for config in underway.finished}),
        weight_decays=sorted({c.level.weight_decay for c in underway.finished if c.level.weight_decay}),
        diverges_at=underway.range.diverges_at,
        diverged=found.diverged,
        levels=found.levels,
        baselines=found.baselines,
        differences=found.differences,
        ranges=found.ranges,
        best_p=found.best_p,
        network=found.network,
        advice="plain",
        headline="",
        words=[],
        warnings=[],
        notes=[*data.notes, *underway.notes(), *notes_on_parts(data, size)],
        failures=listed_failures(underway.failed),
        seconds=sum(outcome.seconds for outcome in underway.finished.values()),
        versions={**underway.versions, "python": platform.python_version()},
        complete=not stopped,
        stopped=stopped,
        device=underway.recipe.device,
        log=None if underway.log is None else RunLogRecord.model_validate(underway.log.record()),
        chapters=chapters,
    )
    warned = [*underway.suspicions, *map(said_of, found.diverged), *cautions(study, found, underway.folds)]
    return say(study.model_copy(update={"warnings": warned}))


def _write(underway: Underway, study: Study, found: Conclusion, weights: Mapping[Config, Weights]) -> None:
    out = underway.options.out
    plain, noisy = _shown(found)
    results.write_networks(out, underway.data, found, weights, underway.folds, underway.preparations, underway.recipe)
    write_runs(underway)
    results.write_range(out, underway.range)
    if underway.network not in WORD_NETWORKS:  # whose units are below zero as often as above it
        results.write_activations(out, plain, noisy, weights, underway.folds[plain.seed], underway.recipe)
    results.write_study(out, study)
    from .report import write as write_report  # late: drawing needs matplotlib, which nothing above does

    write_report(out)


def _shown(found: Conclusion) -> tuple[Config, Config]:
    """The networks whose hidden layers are shown: without dropout and with it, of the first seed that both have."""
    ours = {run.config.seed: run.config for run in found.plain.runs}
    theirs = {run.config.seed: run.config for run in found.noisy.runs}
    seed = min(set(ours) & set(theirs))
    return ours[seed], theirs[seed]
