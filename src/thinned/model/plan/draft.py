"""Collects the lines and the notes of a plan while the rules run, and reuses dropout that the model has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from ..edit.anchor import Anchor
from ..known.operations import ATTENTION, CELLS, CONVOLUTIONS
from ..watch.graph import Graph, Residual
from ..watch.trace import Call
from . import starting
from .anchoring import Anchoring
from .line import SET, PlanLine
from .probe import Probe
from .starting import Start

NARROW = 16  # units; in a layer with fewer, the others cannot make up for a dropped unit


class Draft:
    """A plan that is not finished: `Hidden`, `Branches` and `Attention` add lines to it and read each other's results.

    Example: `Branches` calls `own` with the dropouts at the end of a branch. If one of them has p = 0, `own` adds a
    line that sets this p. If none is there, `Branches` calls `add` with a new place.
    """

    def __init__(self, graph: Graph, found: Probe) -> None:
        self.graph, self.probe = graph, found
        self.asleep = {name for name, own in found.rates.items() if not own.p and not _is_stock(graph.modules[name])}
        self.anchoring = Anchoring(graph, self.asleep)
        self.calls = graph.trace.calls
        self._lines: dict[Anchor, tuple[int, PlanLine]] = {}  # with the index of the call at which it acts first
        self._hits: dict[Anchor, set[int]] = {}  # the indices of all calls at which the line acts
        self.frozen, self.narrow = 0, 0  # how many places were left out: frozen, or with fewer than NARROW units
        self.blocked: list[str] = []  # places for which there is no anchor
        self.unbatched: list[str] = []  # convolutions whose input has no batch axis
        self.gaps: list[str] = []  # layers whose input no function of torch has made
        self.normed: set[Anchor] = set()  # places whose next layer is followed by batch normalisation
        self.attention = [call for call in self.calls if call.function in ATTENTION or graph.is_attention_weights(call)]
        self.additions = {item.add.index for item in graph.residuals}
        self.branch = {index: item for item in graph.residuals for index in item.calls}

    @property
    def lines(self) -> list[PlanLine]:
        """The lines, in the order in which their calls run."""
        ordered = [line for _, line in sorted(self._lines.values(), key=lambda item: item[0])]
        lines = [self._settled(line) for line in ordered]
        rising = starting.rising(sum(line.variant in starting.SPATIAL for line in lines))
        return [replace(line, p=next(rising)) if line.variant in starting.SPATIAL else line for line in lines]

    def has(self, anchor: Anchor) -> bool:
        return anchor in self._lines

    def add(self, anchor: Anchor, source: Call, start: Start, hit: int) -> None:
        """Add a line. `source` made the tensor that it acts on; `hit` is the index of the call at which it acts.

        If there is a line for this anchor already, only `hit` is noted: a module may run several times.
        """
        self._hits.setdefault(anchor, set()).add(hit)
        if anchor not in self._lines:
            variant = SET if anchor.is_rate else start.variant
            line = PlanLine(
                where=str(anchor),
                variant=variant,
                p=start.p,
                shape=source.shape,
                reason=start.reason,
                source=start.source,
                enabled=start.enabled,
                batch_first=start.batch_first and variant == "LockedDropout",
            )
            self._lines[anchor] = (hit, line)

    def _settled(self, line: PlanLine) -> PlanLine:
        """The line; switched off if its module also runs where no rule wants dropout."""
        anchor = line.anchor
        ran = self.graph.trace.ran.get(anchor.module, 0)
        if len(self._hits[anchor]) < ran and line.enabled:
            return replace(
                line,
                enabled=False,
                reason=line.reason.rstrip(".") + "; off, because the module runs in other places too.",
            )
        return line

    def transforms(self, residual: Residual) -> bool:
        """Whether a residual branch is a transformer's: the model has attention, and the branch has no convolution."""
        functions = {self.calls[index].function for index in residual.calls}
        return bool(self.attention) and functions.isdisjoint(CONVOLUTIONS)

    def own(self, dropouts: Sequence[Call], start: Start) -> bool:
        """Use the model's own dropout, if it fits: a line sets its p if this is 0; a p above 0 stays.

        Returns whether the model has such a dropout, so that no new one is needed.
        """
        if any(self.p(call) for call in dropouts):
            return True
        if start.variant == "LockedDropout":  # the model's own dropout draws a fresh mask at each step
            return False
        modules = {call.module for call in dropouts if call.module in self.probe.rates}
        whole = start.variant == "StochasticDepth"
        fitting = [call for call in dropouts if call.module in modules and self.is_path(call) == whole]
        for call in fitting:
            if call.module == fitting[0].module:
                self.add(self.probe.rates[call.module].anchor, call, start, call.index)
        return bool(fitting)

    def is_path(self, call: Call) -> bool:
        """Whether a dropout call drops whole branches: every library has "path" or "depth" in the name of the class."""
        name = type(self.graph.modules.get(call.module)).__name__.lower()
        return "path" in name or "depth" in name or call.function == "stochastic_depth"

    def p(self, call: Call) -> float:
        """The p of a dropout call in the model, not in the probe; 1 if it draws and its p is unknown."""
        own = self.probe.rates.get(call.module)
        return own.p if own is not None else call.p or float(bool(call.draws))

    def there(self) -> Iterator[str]:
        """A text for each dropout that the model has already."""
        for call in self.calls:
            module = self.graph.modules.get(call.module)
            own = self.probe.rates.get(call.module)
            if own is not None:
                if own.p and self.graph.is_dropout(call):
                    yield f"{call.module or 'the model'}: {type(module).__name__}, p = {own.p:g}"
            elif isinstance(module, torch.nn.RNNBase | torch.nn.MultiheadAttention):
                if call.p:
                    yield f"{call.module or 'the model'}: {type(module).__name__}, dropout = {call.p:g}"
            elif call.p and call.training and call.index not in self.probe.told:
                yield f"{call.function}() in {call.module or 'the model'}, p = {call.p:g}"

    def notes(self, lines: Sequence[PlanLine]) -> Iterator[str]:
        """The notes of the plan: advice, and what was left out and why."""
        if any(line.enabled for line in lines):
            yield starting.LEARNING_RATE
        normed = sum(line.enabled and line.anchor in self.normed for line in lines)
        if normed:
            yield (
                f"{_many(normed, 'place')} with batch normalisation behind the next layer, whose running variance will "
                "be that of training: thinned.check measures by how much, thinned.recalibrate_batchnorm makes it new."
            )
        if self.frozen:
            yield f"{_many(self.frozen, 'place')} in frozen parts left out: nothing is trained there."
        if self.narrow:
            yield f"{_many(self.narrow, 'layer')} left out that read fewer than {NARROW} units."
        cells = dict.fromkeys(call.module or "the model" for call in self.calls if call.function in CELLS)
        if cells:
            yield (
                f"Cells that a loop steps through ({', '.join(cells)}) would draw afresh at each step: nothing was put "
                "on them. thinned.nn.LSTM, GRU and RNN hold one mask."
            )
        if self.gaps:
            yield (
                f"What {', '.join(dict.fromkeys(self.gaps))} reads was made outside of torch's functions: no rule "
                "speaks there. Add lines by hand."
            )
        if self.unbatched:
            yield (
                f"The convolutions of {', '.join(dict.fromkeys(self.unbatched))} read an example without a batch axis: "
                "nothing was put before them. Plan with a batch."
            )
        for name in dict.fromkeys(self.blocked):
            yield f"No hook can tell the place at {name} from another: nothing was put there."


def _is_stock(module: torch.nn.Module) -> bool:
    """Whether a dropout is torch's: these call their function at p = 0 too, other libraries' may not."""
    return type(module).__module__.startswith("torch.nn.")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")
