"""A figure as data (name, words, and how to draw it), laid out once, turned into an inline SVG and a PNG.

Drawing goes through matplotlib's objects, never through pyplot: nothing global is left behind, and equal records give
equal bytes.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from thinned.once import once
from thinned.study.report.theme import LIGHT, Colours, recolour

WIDE, HIGH = 4.3, 3.1  # inches: at a phone's width the type stays near its nominal size
DPI = 200
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so PNGs are the same on every machine
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "axes.titlesize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "text.parse_math": False,  # a target called "$" is a name, not a formula
    "axes.unicode_minus": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "thinned",
}


@dataclass(frozen=True)
class Picture:
    """A figure that can be drawn. `title` says the finding, `caption` how to read it, `alt` what it shows."""

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[FigureBase, Colours], None]
    size: tuple[float, float] = (WIDE, HIGH)

    @once
    def laid_out(self) -> LaidOut:
        """The picture in light colours below its title, every part in its place: half of the time of drawing it."""
        with _drawing():
            width, height = self.size
            title = textwrap.fill(self.title, int(width * 10.4))
            strip = 0.12 + 0.19 * (1 + title.count("\n"))
            margins = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06)
            figure = Figure(figsize=(width, strip + height), dpi=DPI, layout=margins, facecolor=LIGHT.panel)
            head, body = figure.subfigures(2, 1, height_ratios=(strip, height), squeeze=False)[:, 0]
            head.text(0.1 / width, 0.1, title, va="bottom", fontsize=11, fontweight="bold", color=LIGHT.ink)
            self.draw(body, LIGHT)
            margins.execute(figure)
            figure.set_layout_engine("none")
        return LaidOut(figure, head, strip)


@dataclass(frozen=True)
class LaidOut:
    """A figure whose parts have their places: its title in a strip above, `strip` inches high."""

    figure: Figure
    head: SubFigure
    strip: float

    @contextmanager
    def untitled(self) -> Iterator[None]:
        """Without the title and the paper."""
        self.head.set_visible(False)
        self.figure.patch.set_visible(False)
        try:
            yield
        finally:
            self.head.set_visible(True)
            self.figure.patch.set_visible(True)


@dataclass(frozen=True)
class Missing:
    """A figure that these records cannot give, and why."""

    name: str
    title: str
    reason: str


def dress(axes: Axes, colours: Colours, *, x: str = "", y: str = "") -> None:
    """The look shared by every plot: two quiet axes, a faint grid across, labels in ink."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours.rule)
    axes.grid(axis="y", color=colours.rule, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=colours.muted)
    axes.set_xlabel(x, color=colours.ink)
    axes.set_ylabel(y, color=colours.ink)


def legend(figure: FigureBase, keys: Sequence[Artist], colours: Colours, columns: int = 4) -> None:
    """The keys above the plots, where they cover no data, at most `columns` a line."""
    if not keys:
        return
    figure.legend(
        handles=list(keys),
        loc="outside upper left",
        ncols=min(len(keys), columns),
        frameon=False,
        labelcolor=colours.ink,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.1,
        borderpad=0,
        borderaxespad=0.9,
    )


@contextmanager
def _drawing() -> Iterator[None]:
    """The settings of all figures. Names are drawn as they are: a sign that the font lacks is a box, and no warning."""
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ ")
        warnings.filterwarnings("ignore", message="Attempting to set identical")  # one value on an axis
        yield


def png(picture: Picture) -> bytes:
    """The picture in light colours with its title above it."""
    laid = picture.laid_out
    with _drawing():
        laid.figure.set_dpi(DPI)
        stream = io.BytesIO()
        canvas: Any = FigureCanvasAgg(laid.figure)
        canvas.print_png(stream, metadata={"Software": None, "Title": picture.title})
    return stream.getvalue()


def svg(picture: Picture) -> Markup:
    """The picture as an inline SVG element in the page's colours and font, named for screen readers."""
    laid = picture.laid_out
    with _drawing(), laid.untitled():
        stream = io.StringIO()
        canvas: Any = FigureCanvasSVG(laid.figure)
        canvas.print_svg(stream, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Markup(_inline(stream.getvalue(), picture))  # matplotlib escapes its text


def _inline(document: str, picture: Picture) -> str:
    body = document[document.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*</defs>", "", body)
    body = re.sub(r"font: ([^;\"]*?)([\d.]+px) [^;\"]*", r"font: \1\2 var(--sans)", body)
    # Ids: those that something refers to become the picture's own, the rest go.
    used = set(re.findall(r"(?:href=\"|url\()#([\w-]+)", body))
    body = re.sub(
        r" id=\"([\w.-]+)\"", lambda found: f' id="{picture.name}-{found[1]}"' if found[1] in used else "", body
    )
    body = re.sub(r"(?:xlink:)?href=\"#", f'href="#{picture.name}-', body)
    body = body.replace("url(#", f"url(#{picture.name}-")
    below = f"0 {72 * picture.laid_out.strip:g} {72 * picture.size[0]:g} {72 * picture.size[1]:g}"
    head = (
        f'<svg viewBox="{below}" role="img" aria-labelledby="{picture.name}-title {picture.name}-desc">'
        f'<title id="{picture.name}-title">{escape(picture.title)}</title>'
        f'<desc id="{picture.name}-desc">{escape(picture.alt)}</desc>'
    )
    return recolour(head + body[body.index(">") + 1 :]).strip()
