"""A reproduced paper for programs, and for a page of documentation."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..study.evidence.claim import Judged
    from ..study.evidence.paper import Paper

QUICK = "A quick run, whose networks have 20 steps: its verdicts mean nothing."


def seeds_in_words(count: int) -> str:
    """How many seeds.

    >>> seeds_in_words(1), seeds_in_words(5)
    ('One seed', '5 seeds')
    """
    return "One seed" if count == 1 else f"{count} seeds"


def as_json(paper: Paper, judged: Sequence[Judged], seeds: int, quick: bool) -> dict[str, Any]:
    """As JSON takes it; an end that is open, or not there, is null."""

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "paper": paper.name,
        "reference": paper.reference,
        "setting": paper.setting,
        "elsewhere": paper.elsewhere,
        "seeds": seeds,
        "quick": quick,
        "python": platform.python_version(),
        "claims": [
            {
                "claim": one.claim.says,
                "paper": one.claim.paper,
                "source": one.claim.source,
                "number": one.claim.number,
                "value": number(one.found.value),
                "low": number(one.found.low),
                "high": number(one.found.high),
                "parts": dict(one.parts),
                "range": one.claim.range,
                "ours": one.ours,
                "verdict": one.verdict,
            }
            for one in judged
        ],
    }


def as_markdown(paper: Paper, judged: Sequence[Judged], seeds: int, quick: bool) -> str:
    """A section of a page: setting, command, and a row for each claim."""
    command = f"thinned reproduce {paper.name}{' --quick' * quick}{f' --seeds {seeds}' * (seeds != paper.seeds)}"
    lines = [
        f"## {paper.reference}",
        "",
        f"`{command}`: {paper.setting} {seeds_in_words(seeds)}. {paper.elsewhere}{f' {QUICK}' * quick}",
        "",
        "| claim | paper | ours | verdict |",
        "|---|---|---|---|",
    ]
    for one in judged:
        claim = one.claim
        lines.append(
            f"| {claim.says} | {claim.paper} ({claim.source}) | {claim.number}: {one.ours}; the range: {claim.range} "
            f"| {one.verdict} |"
        )
    return "\n".join(lines)
