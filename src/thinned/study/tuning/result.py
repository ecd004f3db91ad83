"""What a tuning found: the rates to take, what they are worth, every arm, and a line to copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...model.text_table import text_table
from ..answer.interval import Interval


@dataclass(frozen=True)
class PairedDifference:
    """A difference between two sets of rates, over seeds that had no part in the search: `first` minus `second`."""

    first: str
    second: str
    metric: str
    interval: Interval
    direction: Literal["minimize", "maximize"]

    @property
    def verdict(self) -> Literal["better", "worse", "no difference was seen"]:
        """Of `first`: by whether the 95 % interval holds 0."""
        low, high = self.interval.low, self.interval.high
        if self.direction == "maximize":
            low, high = -high, -low
        return "better" if high < 0 else "worse" if low > 0 else "no difference was seen"

    def __str__(self) -> str:
        found = self.interval
        said = {"better": "better", "worse": "worse"}.get(self.verdict, "no difference was seen")
        return (
            f"{self.first} against {self.second}: {self.metric} {found.value:+.4g} ({found.low:+.4g} to "
            f"{found.high:+.4g}) over {found.seeds} seeds: {said}."
        )


@dataclass(frozen=True)
class TriedArm:
    """A set of rates that was tried: its largest p by kind, and its figure in the search."""

    name: str
    levels: dict[str, float]
    figure: float | None  # the mean over the two seeds of all arms; None where one failed or diverged
    final: float | None  # of the best arms: the mean over four seeds
    note: str = ""


@dataclass(frozen=True)
class TuneResult:
    """The answer of `tune`.

    `taken` says which rates to use: "p = 0", "as it was" or "tuned": of the three the simplest that no other is seen to
    beat. `rates` has them by place, `tuned` those that the search liked best. `print` shows all as a table.
    """

    title: str
    taken: str
    rates: dict[str, float]
    tuned: dict[str, float]
    kinds: dict[str, str]
    differences: tuple[PairedDifference, ...]
    arms: tuple[TriedArm, ...]
    notes: tuple[str, ...]
    metric: str
    direction: Literal["minimize", "maximize"]
    file: Path  # rates.toml or plan.toml
    planned: bool  # whether a plan has to be applied first
    page: Path | None = None  # report.html; None where what draws it is not installed

    @property
    def headline(self) -> str:
        return f"Dropout for {self.title}: take the rates {_SAID[self.taken]}."

    @property
    def set_rates_line(self) -> str:
        """The line of Python that gives a model these rates. For a plan, one that applies it."""
        if self.file.name == "plan.toml":
            return f"thinned.apply(model, thinned.Plan.load({str(self.file)!r}))"
        line = f"thinned.set_rates(model, {_written(self.rates)})"
        if not self.planned:
            return line
        return f"thinned.apply(model, thinned.Plan.load({str(self.file.with_name('plan.toml'))!r}))\n{line}"

    def __str__(self) -> str:
        kinds = list(dict.fromkeys(self.kinds.values()))
        rows = [
            (
                arm.name,
                *(f"{arm.levels.get(kind, 0.0):g}" for kind in kinds),
                "" if arm.figure is None else f"{arm.figure:.4g}",
                "" if arm.final is None else f"{arm.final:.4g}",
                arm.note,
            )
            for arm in self.arms
        ]
        better = "less" if self.direction == "minimize" else "more"
        places = ", ".join(f"{sum(of == kind for of in self.kinds.values())} {kind}" for kind in kinds)
        return "\n".join(
            [
                self.headline,
                *map(str, self.differences),
                *self.notes,
                *([] if self.page is None else [f"The page with figures: {self.page}"]),
                "",
                f"Tried, by the mean {self.metric} over seeds ({better} is better). Places: {places}.",
                *text_table(("rates", *(f"p {kind}" for kind in kinds), "2 seeds", "4 seeds", ""), rows),
                "",
                *self.set_rates_line.splitlines(),
            ]
        )


_SAID = {"p = 0": "p = 0, no dropout", "as it was": "as they were", "tuned": "that were tuned"}


def _written(rates: Mapping[str, float]) -> str:
    return "{" + ", ".join(f"{place!r}: {p:g}" for place, p in rates.items()) + "}"
