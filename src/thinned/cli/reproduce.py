"""`thinned reproduce`: published results about dropout, run again in small, beside what the papers say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from .ending import signals_as_interrupts
from .reproduce_formats import QUICK, as_json, as_markdown, seeds_in_words
from .terminal import cell, give, say, show, told

if TYPE_CHECKING:
    from ..study.evidence.claim import Judged
    from ..study.evidence.paper import Paper

FAILED = 2
QUICK_SEEDS = 2
EPILOG = """
Examples:

    thinned reproduce                                    the papers

    thinned reproduce srivastava2014                     one of them, in a few minutes on one core

    thinned reproduce li2019 --seeds 10 --format json > li2019.json
"""


class ReproduceFormat(StrEnum):
    text = "text"
    json = "json"
    markdown = "markdown"


def reproduce(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A paper. Without it: all of them, in a line each.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How often everything is done. One has no interval, and settles nothing.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two seeds and 20 steps: shows what there is. Its verdicts mean nothing.")
    ] = False,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FOLDER", help="Where finished trials are kept: the same command goes on."),
    ] = Path("thinned-reproduce"),
    format: Annotated[  # noqa: A002
        ReproduceFormat, typer.Option(help="text is for people, json for programs, markdown for a page.")
    ] = ReproduceFormat.text,
) -> None:
    """Run a published result about dropout again, in small, on data that packages ship, and say whether it holds here.

    Each claim of the paper names a range for a number: the whole 95 % interval of ours inside of it agrees, outside of
    it disagrees, and any other is not settled. The paper's own data are not at hand, and none of their figures is ours.
    The same seeds give the same numbers, measured times apart.

    Exit code 0 whatever the verdicts are. 2: no such paper, data that are not installed, or a folder that can't be
    written to. 130 after Ctrl-C, 143 after SIGTERM.
    """
    from ..study.error import StudyError
    from ..study.evidence import paper as run
    from ..study.evidence.table import PAPERS, paper

    try:
        if name is None:
            _list(PAPERS)
            return
        wanted = paper(name)
        count = seeds if seeds is not None else QUICK_SEEDS if quick else wanted.seeds
        with signals_as_interrupts() as ended:
            try:
                judged = run.reproduce(wanted, range(count), out, quick=quick, say=_progress)
            except KeyboardInterrupt:
                _progress(f"Stopped. What is finished is in {out}: give the same command again to go on.")
                raise typer.Exit(ended.code) from None
    except StudyError as error:
        say(told(error), err=True)
        raise typer.Exit(FAILED) from None
    if format is ReproduceFormat.json:
        give(json.dumps(as_json(wanted, judged, count, quick), indent=2))
    elif format is ReproduceFormat.markdown:
        give(as_markdown(wanted, judged, count, quick))
    else:
        _print(wanted, judged, count, quick)


def _progress(text: str) -> None:
    with suppress(OSError):  # stderr is closed: the answer is on stdout
        say(text, err=True)


def _list(papers: Sequence[Paper]) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("name", "paper", "claims"):
        table.add_column(heading, no_wrap=heading == "name", overflow="fold")
    for one in papers:
        table.add_row(*map(cell, (one.name, one.reference, " ".join(claim.says for claim in one.claims))))
    Console().print(table)


def _print(paper: Paper, judged: Sequence[Judged], seeds: int, quick: bool) -> None:
    from ..study.evidence.claim import RULE

    console = Console()
    show(console, paper.reference, "bold")
    show(console, f"Here: {paper.setting} {seeds_in_words(seeds)}.")
    show(console, paper.elsewhere)
    if quick:
        show(console, QUICK, "yellow")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_lines=True)
    for heading in ("claim", "paper", "ours", "verdict"):
        table.add_column(heading, overflow="fold")
    for one in judged:
        claim = one.claim
        table.add_row(
            cell(claim.says),
            cell(f"{claim.paper} ({claim.source})"),
            cell(f"{claim.number}: {one.ours}; it should lie {claim.range}"),
            cell(one.verdict, {"agrees": "green", "disagrees": "red", "not settled": "yellow"}[one.verdict]),
        )
    console.print(table)
    show(console, RULE[0].upper() + RULE[1:])
