"""What decides a study: the metric that is asked for, or the one that is usual; and which network, for a long text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .answer.shown import OF_WORDS
from .answer.standing import ERRORS
from .data.dataset import Dataset
from .data.running_text import is_running_text
from .error import StudyError
from .options import METRIC_NAMES, StudyOptions


def with_network(data: object, options: StudyOptions) -> StudyOptions:
    """The options, where one long text is given without a network, with an LSTM."""
    if options.network is None and isinstance(data, (str, Path)) and is_running_text(Path(data)):
        return replace(options, network="lstm")
    return options


def deciding_metric(options: StudyOptions, data: Dataset) -> str:
    """What decides: `--metric`, or the task's error, or of a next word the perplexity.

    Raises StudyError: a metric of the other task, or one that asks how each of hundreds of words fares.
    """
    names = OF_WORDS if data.stretch else METRIC_NAMES[data.task]
    metric = options.metric or ("perplexity" if data.stretch else ERRORS[data.task])
    if metric not in names:
        what = "a next word. Leave it out for the perplexity" if data.stretch else data.task
        step = "" if data.stretch else " --task reads the target the other way."
        raise StudyError(f"`--metric` must be one of {', '.join(names)} for {what}. Got {metric!r}.{step}")
    return metric
