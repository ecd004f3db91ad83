"""What a caller can choose about a study, checked before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..plain_text import in_utf8
from .data.overrule import TextForm, WantedColumn, check_time_alone
from .error import StudyError
from .extras import require_extra
from .networks.device import check_device

METRIC_NAMES = {
    "classification": ("error", "nll", "brier", "balanced-error", "auc", "f1", "perplexity"),
    "regression": ("rmse", "mae"),
}
CHAPTERS = (  # as in chapters/table.py
    "how-much", "where", "convergence", "data-size", "reliance", "ensemble", "normalisation", "forms", "schedules",
)  # fmt: skip
DEFAULT_CHAPTERS = CHAPTERS[:3]
ANY_NETWORK_CHAPTERS = ("how-much", "convergence", "forms", "schedules")  # the others train perceptrons
LOGS = {"mlflow": "MLflow", "tensorboard": "TensorBoard"}
NETWORK_NAMES = ("perceptron", "cnn", "lstm", "gru", "transformer")
MOST_SEEDS, MOST_JOBS, MOST_EPOCHS = 10_000, 1_024, 10_000_000
MOST_SECONDS = 366 * 86_400.0
LRS = (1e-10, 100.0)
WHY_LR = "a step of AdamW moves a weight by about so much"  # float32 weights of 0.1 can't be moved by less
DECAYS = (1e-10, 1e4)
LEAST_P = 1e-6
LEAST_SHARE = 1e-4  # of a CPU or GPU, as Ray counts them
SHARE_OF_NODE = f"a fraction of one, {LEAST_SHARE:g} or more, or a whole number"
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True)
class StudyOptions:
    """See `run_study` for what each means."""

    target: str | None = None
    task: Literal["classification", "regression"] | None = None
    groups: str | None = None
    time: str | None = None
    test: Path | None = None
    out: Path = Path("thinned-study")
    seed: int = 0
    seeds: int | None = None
    ps: tuple[float, ...] | None = None
    lrs: tuple[float, ...] | None = None
    weight_decays: tuple[float, ...] | None = None
    epochs: int | None = None
    hidden: tuple[int, ...] | None = None
    network: str | None = None
    train_rows: int | None = None
    metric: str | None = None
    jobs: int = 1
    budget: float | None = None
    storage: str | None = None
    ray: str | None = None
    ray_cpus: float = 1.0
    ray_gpus: float = 0.0
    log: str | None = None
    device: str | None = None
    form: TextForm = field(default_factory=TextForm)
    columns: tuple[WantedColumn, ...] = ()
    chapters: tuple[str, ...] | None = None

    @property
    def asked(self) -> tuple[str, ...]:
        """The chapters to tell: those that were named, or the first three, as far as the network has them."""
        if self.chapters is not None:
            return self.chapters
        perceptron = self.network in (None, "perceptron")
        return tuple(name for name in DEFAULT_CHAPTERS if perceptron or name in ANY_NETWORK_CHAPTERS)

    def __post_init__(self) -> None:
        _require("--seed", self.seed, 0 <= self.seed < 2**63, "a whole number, 0 or more")
        if self.seeds is not None:
            _require("--seeds", self.seeds, self.seeds >= 2, "at least 2: one run can't tell an effect from luck")
            _require("--seeds", self.seeds, self.seeds <= MOST_SEEDS, f"at most {MOST_SEEDS:,}")
        for p in self.ps or ():
            _require("--p", p, 0 <= p < 1, "a drop probability in [0, 1)")
            _require("--p", p, p == 0 or LEAST_P <= p <= 1 - LEAST_P, f"0, or between {LEAST_P:g} and 1 - {LEAST_P:g}")
        if self.ps is not None:
            _require("--p", _said(self.ps), any(p > 0 for p in self.ps), "at least one rate above 0 to compare with 0")
        for lr in self.lrs or ():
            _require("--lr", lr, 0 < lr < float("inf"), "a positive number")
            _require("--lr", lr, LRS[0] <= lr <= LRS[1], f"between {LRS[0]:g} and {LRS[1]:g}: {WHY_LR}")
        for decay in self.weight_decays or ():
            _require("--weight-decay", decay, 0 < decay < float("inf"), "a positive number; 0 is always tried")
            _require(
                "--weight-decay", decay, DECAYS[0] <= decay <= DECAYS[1], f"between {DECAYS[0]:g} and {DECAYS[1]:g}"
            )
        if self.epochs is not None:
            _require("--epochs", self.epochs, self.epochs >= 1, "at least 1")
            _require("--epochs", self.epochs, self.epochs <= MOST_EPOCHS, f"at most {MOST_EPOCHS:,}")
        if self.hidden is not None:
            holds = len(self.hidden) > 0 and min(self.hidden) >= 1
            _require("--hidden", _said(self.hidden), holds, "units of each hidden layer, 1 or more")
        if self.network is not None:
            _require("--network", self.network, self.network in NETWORK_NAMES, f"one of {', '.join(NETWORK_NAMES)}")
        if self.train_rows is not None:
            _require("--train-rows", self.train_rows, self.train_rows >= 2, "at least 2")
        _require("--jobs", self.jobs, self.jobs >= 1, "at least 1")
        _require("--jobs", self.jobs, self.jobs <= MOST_JOBS, f"at most {MOST_JOBS:,}")
        if self.ray is not None:
            rule = "left out with --ray, where the cluster's room and --ray-cpus decide how many trials run"
            _require("--jobs", self.jobs, self.jobs == 1, rule)
            require_extra("--ray", "ray", "Ray", "ray")
        if self.device is not None:
            check_device(self.device)
        if self.log is not None:
            _require("--log", self.log, self.log in LOGS, f"one of {', '.join(LOGS)}")
            require_extra(f"--log {self.log}", self.log, LOGS[self.log], self.log)
        _require("--ray-cpus", self.ray_cpus, _shares(self.ray_cpus), SHARE_OF_NODE)
        _require("--ray-gpus", self.ray_gpus, self.ray_gpus == 0 or _shares(self.ray_gpus), f"0, {SHARE_OF_NODE}")
        if self.metric is not None:
            names = (*METRIC_NAMES["classification"], *METRIC_NAMES["regression"])
            _require("--metric", self.metric, self.metric in names, f"one of {', '.join(names)}")
        if self.budget is not None:
            _require("--budget", self.budget, self.budget > 0, "a time above 0, as 90s, 10m or 1h30m")
            _require("--budget", self.budget, self.budget <= MOST_SECONDS, "a time of a year at most")
        for name in self.chapters or ():
            _require("--chapters", in_utf8(name), name in CHAPTERS, f"all, none, or of {', '.join(CHAPTERS)}")
            if self.network not in (None, "perceptron"):
                rule = (
                    f"of {', '.join(ANY_NETWORK_CHAPTERS)} with --network {self.network}: the others train perceptrons"
                )
                _require("--chapters", name, name in ANY_NETWORK_CHAPTERS, rule)
        paths = (("--out", self.out), ("--test", self.test))
        columns = (("--target", self.target), ("--groups", self.groups), ("--time", self.time))
        for option, text in (*paths, *columns):
            if text is not None:
                require_text(option, text)
        once = len({item.name for item in self.columns}) == len(self.columns)
        _require("--column", ", ".join(map(str, self.columns)), once, "said once a column")
        check_time_alone(self.groups, self.time, self.test)


def require_text(option: str, text: str | Path) -> None:
    """Raises StudyError: a name that is no text in UTF-8, which records and pages can't hold.

    A file's name that is no UTF-8 has lone surrogates in Python.
    """
    if in_utf8(text) != str(text):
        raise StudyError(f"`{option}` must be a name in UTF-8. Got {in_utf8(text)}. Rename it.")


def _shares(amount: float) -> bool:
    return LEAST_SHARE <= amount <= 1 or (amount > 1 and float(amount).is_integer())


def _require(option: str, value: Any, holds: bool, rule: str) -> None:
    if not holds:
        percent = option == "--p" and isinstance(value, (int, float)) and 1 < value < 100
        hint = f" If {value:g} % was meant, pass {value / 100:g}." if percent else ""
        raise StudyError(f"`{option}` must be {rule}. Got {value}.{hint}")


def numbers(option: str, texts: Sequence[str]) -> tuple[float, ...]:
    """Numbers given one by one or with commas between them.

    >>> numbers("--p", ["0.1,0.2", "0.5"])
    (0.1, 0.2, 0.5)
    """
    try:
        return tuple(float(part) for text in texts for part in text.split(",") if part.strip())
    except ValueError:
        raise StudyError(f"`{option}` must be numbers, as 0.1 or 0.1,0.2. Got {' '.join(texts)!r}.") from None


def chapters_of(text: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """The chapters that are asked, in the table's order: "all", "none", or names; None where nothing is said.

    >>> chapters_of("where,how-much"), chapters_of("none")
    (('how-much', 'where'), ())
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")] if isinstance(text, str) else list(text)
    if names in (["all"], ["none"]):
        return CHAPTERS if names == ["all"] else ()
    wanted = [name for name in names if name]
    unknown = tuple(name for name in wanted if name not in CHAPTERS)
    return (*(name for name in CHAPTERS if name in wanted), *unknown)  # an unknown one is refused with the rest


def sizes_of(text: str) -> tuple[int, ...]:
    """Units of each hidden layer.

    >>> sizes_of("256,128")
    (256, 128)
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise StudyError(f"`--hidden` must be whole numbers with commas between, as 256,256. Got {text!r}.") from None


def seconds_of(text: str) -> float:
    """A duration in seconds.

    >>> seconds_of("90"), seconds_of("10m"), seconds_of("1h30m")
    (90.0, 600.0, 5400.0)
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise StudyError(f"`--budget` must be a time, as 90s, 10m or 1h30m. Got {text!r}.")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _said(values: Sequence[float] | None) -> str:
    return ", ".join(f"{value:g}" for value in values or ()) or "none"
