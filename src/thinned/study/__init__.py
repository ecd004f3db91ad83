"""Which dropout, how much, at which learning rate: trained on your data, judged on rows that no choice has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data.dataset import Dataset
    from .error import StudyError, StudyWarning
    from .network.files import load
    from .network.model import Predictor as Predictor
    from .network.model import StudyModel
    from .network.score_text import score_text
    from .run import run_study
    from .tuning.result import TuneResult
    from .tuning.tune import tune
    from .underway import Progress

_HOMES = {
    "Dataset": "data.dataset",
    "Predictor": "network.model",
    "Progress": "underway",
    "StudyError": "error",
    "StudyModel": "network.model",
    "StudyWarning": "error",
    "TuneResult": "tuning.result",
    "load": "network.files",
    "run_study": "run",
    "score_text": "network.score_text",
    "tune": "tuning.tune",
}

__all__ = [
    "Dataset", "Progress", "StudyError", "StudyModel", "StudyWarning", "TuneResult", "load", "run_study", "score_text",
    "tune",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load on first use: a process that only trains needs neither pandas nor scikit-learn."""
    from importlib import import_module

    from thinned.forked import PROCESS

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with PROCESS:  # a fork in the midst of an import would leave the module locked in the child
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
