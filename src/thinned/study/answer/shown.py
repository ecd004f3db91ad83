"""Which metrics a study's tables show beside the deciding one."""

from __future__ import annotations

from ..record import Task
from .metric import METRICS

OF_WORDS = ("error", "perplexity", "nll", "brier")  # of a next word: others ask how each of hundreds of classes fares


def figures_of(task: Task, following: bool) -> tuple[str, ...]:
    """The metrics that a study's tables show: of a next word, or of a task's rows."""
    if following:
        return OF_WORDS
    return tuple(name for name, metric in METRICS.items() if metric.task == task and name != "perplexity")
