"""`thinned.plan`: where dropout should go in a model, with a reason and a starting p for each place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..noise import PROBABILITY, check
from .anchor import Anchor, anchor
from .apply import Applied, apply
from .plan_file import read, write
from .plan_table import table

__all__ = ["Applied", "Line", "Plan", "apply", "plan"]

SET = "set p"  # the variant of a line that sets a p which the model has already
VARIANTS = (
    *("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "GaussianDropout"),
    *("LockedDropout", "StochasticDepth"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One place of a plan."""

    where: str  # see `anchor.py`
    variant: str  # a class of thinned.nn, or "set p"
    p: float  # the probability that a unit is dropped, to start with
    shape: tuple[int, ...] = ()  # of what it acts on, with the example
    reason: str = ""
    source: str = ""
    enabled: bool = True
    batch_first: bool = False  # of LockedDropout: how the sequence lies

    def __post_init__(self) -> None:
        owner = f"plan, {self.where}"
        check(PROBABILITY, owner, "p", self.p)
        place = anchor(self.where)
        if place.is_rate != (self.variant == SET) or self.variant not in (SET, *VARIANTS):
            fitting = repr(SET) if place.is_rate else f"one of {', '.join(VARIANTS)}"
            raise ValueError(f"`{owner}`: `variant` must be {fitting}. Got {self.variant!r}.")
        if self.batch_first and self.variant != "LockedDropout":
            raise ValueError(
                f"`{owner}`: `batch_first` must be left out where the variant is not LockedDropout. Got {self.variant}."
            )

    @property
    def anchor(self) -> Anchor:
        return anchor(self.where)


@dataclass(frozen=True)
class Plan:
    """Where dropout should go. `print` it, `save` it, edit the file, `load` it, `thinned.apply` it."""

    lines: tuple[Line, ...]
    there: tuple[str, ...] = ()  # dropout that the model has already, which is left as it is
    notes: tuple[str, ...] = ()
    model: str = ""  # the model's class

    def __post_init__(self) -> None:
        seen: set[Anchor] = set()
        for line in self.lines:
            if line.anchor in seen:
                raise ValueError(f"`Plan`: every place must stand once. Got {line.where!r} twice. Take one out.")
            seen.add(line.anchor)

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def enabled(self) -> tuple[Line, ...]:
        """The lines that `apply` takes up."""
        return tuple(line for line in self.lines if line.enabled)

    def changed(self, where: str, **settings: Any) -> Plan:
        """The plan with one line's settings changed: `plan.changed("input of fc", p=0.3)`.

        Raises:
            KeyError: no line stands at `where`.
        """
        if where not in (line.where for line in self.lines):
            raise KeyError(
                f"`Plan`: no line stands at {where!r}. Lines: {', '.join(line.where for line in self.lines)}."
            )
        lines = tuple(replace(line, **settings) if line.where == where else line for line in self.lines)
        return replace(self, lines=lines)

    def save(self, path: str | Path) -> None:
        """Write the plan as TOML, to be edited by hand."""
        Path(path).write_text(write(self), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan.

        Raises:
            ValueError, TypeError: text that is no TOML, an unknown or missing key, a bad value; with file and line.
        """
        path = Path(path)
        model, there, notes, entries = read(path.read_text(encoding="utf-8"), str(path))
        lines = []
        for at, entry in entries:
            try:
                lines.append(Line(**entry))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{at}: {error}") from None
        try:
            return cls(tuple(lines), there, notes, model)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def __str__(self) -> str:
        return table(self)


def plan(model: torch.nn.Module, *args: Any, **kwargs: Any) -> Plan:
    """Find where dropout should go in a model, by the rules of the literature; change nothing.

    Dropout goes on what a layer reads, behind a hidden activation and behind its batch normalisation, never on the raw
    input, never on the output, never in frozen parts; on whole channels of convolution maps; locked over time around
    recurrent layers; as stochastic depth, rising with depth, on residual branches; in transformers on attention, on
    each branch before it is added and in the feed-forward part; as alpha dropout after SELU. Dropout that the
    model has is respected: where its p is 0 the plan sets it, where it is above 0 the plan leaves it alone.
    `docs/guides/plan.md` has the rules, their sources and the starting p.

    Arguments:
        model: any module. It runs in training mode, uncompiled; modes, buffers and random state are put back.
        args, kwargs: an example of what the model is called with: with a batch axis and of ordinary size.

    Returns: a `Plan`; `print` shows it as a table.

    Raises:
        TypeError: `model` is no module.
        ValueError: a lazy module that has not seen an input.
        Exception: whatever the model itself raises on the example.

    Cost: one or two forward passes, and about 50 microseconds for each call of torch in them; a backward pass, too,
    where p would be set of a dropout that works in place.

    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    >>> [(line.where, line.variant, line.p) for line in plan(net, torch.ones(8, 64))]
    [('output of 1', 'Dropout', 0.5)]
    """
    from .placement import place

    return place(model, args, kwargs)
