"""What the page of a tuning says, as numbers and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["zero", "was", "planned", "multiplied", "kind"]


@dataclass(frozen=True)
class SeedFigures:
    """One training: its figures by name, or why it has none."""

    seed: int
    ended: Literal["trained", "failed", "diverged"]
    figures: dict[str, float]
    reason: str
    seconds: float

    @property
    def trained(self) -> bool:
        return self.ended == "trained"


@dataclass(frozen=True)
class TriedRates:
    """One set of rates in the search. `figure` is its mean over the seeds that all sets have, `final` over more."""

    name: str
    role: Role
    levels: dict[str, float]  # the largest p by kind
    runs: tuple[SeedFigures, ...]
    figure: float | None
    final: float | None
    note: str


@dataclass(frozen=True)
class KindCurve:
    """Sets of rates, by number, that differ in one kind's p alone. `others` are the other kinds' p."""

    tried: tuple[int, ...]
    others: dict[str, float]


@dataclass(frozen=True)
class TunedKind:
    """A kind of place. The first of its curves is the one to read; there is none where the kind never moved alone."""

    name: str
    curves: tuple[KindCurve, ...]


@dataclass(frozen=True)
class TunedPlace:
    """A place with its p: before, as the search liked it best, and as it is to be."""

    name: str
    kind: str
    was: float
    liked: float
    taken: float


@dataclass(frozen=True)
class JudgedRates:
    """One of the three that are compared, with the names of all of them that have these rates."""

    names: tuple[str, ...]
    runs: tuple[SeedFigures, ...]

    @property
    def title(self) -> str:
        return ", ".join(self.names)

    @property
    def sound(self) -> bool:
        return all(run.trained for run in self.runs)

    @property
    def role(self) -> Role:
        return "zero" if "p = 0" in self.names else "was" if "as it was" in self.names else "kind"


@dataclass(frozen=True)
class SeenDifference:
    """A paired difference of the judging figure, `first` minus `second`, with its 95 % interval."""

    first: str
    second: str
    value: float
    low: float
    high: float
    seeds: int
    verdict: str  # of the first: better, worse, no difference was seen

    @property
    def colour(self) -> str:
        """The verdict's, by its name in `theme.Colours`."""
        return {"better": "good", "worse": "bad"}.get(self.verdict, "muted")


@dataclass(frozen=True)
class TuningData:
    """The data of a tuning on a study's data, and the learning rates that each training chooses from."""

    title: str
    rows: tuple[int, int, int]  # training, validation, test
    lrs: tuple[float, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TuningFacts:
    """All that the page says."""

    title: str
    headline: str
    taken: str
    line: str
    metric: str
    judge: str
    lower: bool  # whether less is better
    common: int  # seeds that all sets of rates have
    kinds: tuple[TunedKind, ...]
    places: tuple[TunedPlace, ...]
    tried: tuple[TriedRates, ...]
    judged: tuple[JudgedRates, ...]
    differences: tuple[SeenDifference, ...]
    notes: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    data: TuningData | None
    folder: Path
    rates_file: str
    planned: bool  # whether plan.toml lies there too

    @property
    def better(self) -> str:
        return "lower" if self.lower else "higher"

    def runs(self) -> Sequence[SeedFigures]:
        """Every training, of the search and of the judging."""
        every = [item.runs for item in self.tried] + [item.runs for item in self.judged]
        return [run for runs in every for run in runs]
