"""The picture of `thinned bench`: time against size, with the copy as the floor."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..replaced_file import replace_file
from .bench_timing import CONTENDERS, COPY, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FORMATS = (".png", ".svg", ".pdf")


def draw(path: Path, rows: Sequence[Row], title: str) -> None:
    """The picture as a file whose suffix, one of `FORMATS`, says what it is.

    Raises:
        OSError: as `replace_file`.
    """
    content = io.BytesIO()
    _figure(rows, title).savefig(content, format=path.suffix.lower().removeprefix("."))
    replace_file(path, content.getvalue())


def _figure(rows: Sequence[Row], title: str) -> Figure:
    """A panel for each type and pass, in nanoseconds an element over the number of elements, both logarithmic."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((row["dtype"], row["pass"]) for row in rows))
    figure = Figure(figsize=(4.6 * len(panels), 4), layout="constrained")
    figure.suptitle(title)
    for number, (dtype, which) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for what in CONTENDERS:
            chosen = [row for row in rows if (row["dtype"], row["pass"], row["what"]) == (dtype, which, what)]
            sizes, times = ([float(row[name]) for row in chosen] for name in ("elements", "ns_per_element"))
            if what == COPY:
                axes.fill_between(sizes, times, min(times) / 2, color="0.85", label="a copy: the floor")
            else:
                axes.plot(sizes, times, marker="o", label=what)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_title(f"{which}, {dtype}")
        axes.set_xlabel("elements")
        axes.set_ylabel("ns an element")
        axes.legend()
    return figure
