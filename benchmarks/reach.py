"""The goals beside the figures of the last run: met or not.

python -m benchmarks.reach
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import thinned.nn

from . import dropout, training
from .contenders import BOTH, CLONE, COMPILED, COPY, FORWARD, IN_PLACE, OURS, OUT, TORCH, instruction_set
from .dropout import ACTIVATION_SIZE, SIZES
from .harness import Row, last_run

Times = dict[tuple[str, ...], float]
MIDDLE = (2**18, 2**20)
LARGE = (2**24, ACTIVATION_SIZE, 2**25)
# A fresh block above 32 MiB comes from the system at every call, and its pages one by one.
FAULTING = {"float32": LARGE, "bfloat16": LARGE[1:]}
DTYPES = tuple(FAULTING)


@dataclass(frozen=True)
class Goal:
    """A bound on the worst figure over all the settings that it names, all of which must have been measured.

    Arguments:
        text: the settings in words.
        bound: the largest figure, or the smallest where it counts how many times `faster` something is.
        what, against: contenders. The figure is the time of `what` over that of `against`, or the reciprocal if
            `faster`; without `against` it is ns an element.
    """

    text: str
    bound: float
    sizes: Sequence[int]
    what: str = OURS
    against: str | None = TORCH
    faster: bool = False
    which: str = FORWARD
    threads: Sequence[int] = (1, 2)
    p: Sequence[float] = (0.1, 0.5)
    dtypes: Sequence[str] = DTYPES

    def figure(self, times: Times, dtype: str) -> float | None:
        """The worst; None where one is missing."""
        figures = []
        for threads, p, size in itertools.product(self.threads, self.p, self.sizes):
            place = (str(threads), dtype, f"{p:g}", str(size), self.which)
            ours = times.get((self.what, *place))
            theirs = times.get((self.against, *place)) if self.against else 1.0
            if ours is None or theirs is None:
                return None
            figures.append(theirs / ours if self.faster else ours / theirs)
        return min(figures) if self.faster else max(figures)

    def met(self, figure: float) -> bool:
        return figure >= self.bound if self.faster else figure <= self.bound

    @property
    def rule(self) -> str:
        if self.against is None:
            return f"<= {self.bound:g} ns/element"
        return f">= {self.bound:g}x faster than {self.against}" if self.faster else f"<= {self.bound:g}x {self.against}"


def goals() -> Iterator[Goal]:
    for which, bounds in ((FORWARD, {1: (40, 85), 2: (75, 150)}), (BOTH, {1: (15, 30), 2: (25, 50)})):
        for threads, pair in bounds.items():
            for p, bound in zip((0.1, 0.5), pair, strict=True):
                text = f"{which}, 2^18 to 2^20, p = {p}, {threads} thread{'s' * (threads > 1)}"
                yield Goal(text, bound, MIDDLE, faster=True, which=which, threads=[threads], p=[p])
    yield Goal(f"{BOTH}, 2^18 to 2^20", 30, MIDDLE, against=COMPILED, faster=True, which=BOTH)
    for which, small in ((FORWARD, {14: 7, 12: 2, 10: 1}), (BOTH, {14: 4, 10: 1})):
        for exponent, least in small.items():
            yield Goal(f"{which}, 2^{exponent}", least, [2**exponent], faster=True, which=which)
    for which in (FORWARD, BOTH):
        yield Goal(f"{which}, every size from 2^10", 1, [n for n in SIZES if n >= 2**10], which=which)
        yield Goal(f"{which}, 2^6", 1.5, [2**6], which=which)
    yield Goal("2^18 to 2^22, 1 thread", 1.7, (*MIDDLE, 2**22), against=COPY, threads=[1])
    for what in (IN_PLACE, OUT):
        yield Goal("2^24 and above, into a warm buffer", 1.1, LARGE, what, COPY)
    for dtype, sizes in FAULTING.items():
        yield Goal("a fresh output above 32 MiB", 1.2, sizes, against=CLONE, dtypes=[dtype])
    in_cache = (("avx512", "bfloat16", 0.13), ("avx2", "float32", 0.32), ("portable", "float32", 0.65))
    for name, dtype, most in in_cache:
        yield Goal("2^16, 1 thread", most, [2**16], instruction_set(name), None, threads=[1], dtypes=[dtype])


SHARES = {"MLP": 0.03, "CNN": 0.04, "transformer layer": 0.04, "LSTM language model": 0.03}
Verdict = tuple[str, str, str, str]


def verdicts(rows: Sequence[Row], steps: Sequence[Row]) -> Iterator[Verdict]:
    """Each goal as what is measured, the rule, the worst figure, and "met", "NOT met" or "not measured".

    Arguments:
        rows: the last run of `benchmarks.dropout`.
        steps: the last run of `benchmarks.training`.
    """
    keys = ("what", "threads", "dtype", "p", "elements", "pass")
    times = {tuple(row[key] for key in keys): float(row["ns_per_element"]) for row in rows}
    for goal in goals():
        for dtype in goal.dtypes:
            figure = goal.figure(times, dtype)
            found = ("-", "not measured") if figure is None else (f"{figure:.3g}", _verdict(goal.met(figure)))
            yield (f"{goal.what}, {dtype}: {goal.text}", goal.rule, *found)
    shares = {row["model"]: float(row["share"]) for row in steps if row["dropout"] == OURS and row["threads"] == "2"}
    for model, most in SHARES.items():
        share = shares.get(model)
        if share is None:
            found = ("-", "not measured")
        else:  # no share is negative: where one is, by more than the bound, the steps' scatter hides what is asked
            found = (f"{share:.1%}", "not measured" if share < -most else _verdict(share <= most))
        yield (f"{OURS}: share of a training step, {model}, 2 threads", f"<= {most:.0%}", *found)


def _verdict(met: bool) -> str:
    return "met" if met else "NOT met"


def kept(layer: torch.nn.Module, x: torch.Tensor) -> int:
    """Bytes that autograd keeps of one call for the backward pass."""
    sizes: list[int] = []

    def pack(saved: torch.Tensor) -> torch.Tensor:
        sizes.append(saved.nbytes)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        layer(x.requires_grad_())
    return sum(sizes)


def kept_verdicts() -> Iterator[Verdict]:
    """Measured on the spot, since it depends on no machine."""
    for dtype in DTYPES:
        bytes_kept = kept(thinned.nn.Dropout(0.5), torch.randn(2**20).to(getattr(torch, dtype)))
        rule = "<= 40 bytes a call"
        yield f"{OURS}, {dtype}: kept for the backward pass", rule, f"{bytes_kept}", _verdict(bytes_kept <= 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, default=dropout.FILE, help="the rows of benchmarks.dropout")
    parser.add_argument("--training", type=Path, default=training.FILE, help="the rows of benchmarks.training")
    options = parser.parse_args()
    found = [*verdicts(last_run(options.csv), last_run(options.training)), *kept_verdicts()]
    for what, rule, figure, verdict in found:
        print(f"{verdict:14s}{figure:>8s}  {rule:40s}{what}")
    counts = {verdict: sum(row[-1] == verdict for row in found) for verdict in ("met", "NOT met", "not measured")}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


if __name__ == "__main__":
    main()
