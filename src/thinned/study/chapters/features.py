"""What the first layer's units look for in pictures: their weights, shown as pictures, and how alike neighbours are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..record import ChapterFigure, ChapterPictures
from .interval import over_seeds, seen
from .scene import Results, Scene

SHOWN = 12  # units
NEIGHBOURS = "neighbours"
Floats = NDArray[np.float64]


def settings(scene: Scene, seed: int) -> dict[str, float]:
    """What a trial must know of pictures: their form, and whether its units are shown."""
    if not scene.pixels or scene.image is None:
        return {}
    height, width, channels = scene.image
    return {"height": height, "width": width, "channels": channels, "shown": float(seed == scene.seeds[0])}


def measured(weight: Floats, outgoing: Floats, wanted: dict[str, float]) -> dict[str, float]:
    """How alike neighbouring pixels' weights are, and the pictures of the units with the most weight.

    Arguments:
        weight: of the first layer, `(units, inputs)`.
        outgoing: of the second, `(units behind, units)`.
        wanted: of `settings`.
    """
    form = tuple(int(wanted[name]) for name in ("height", "width", "channels"))
    pictures = weight.reshape(len(weight), *form).mean(3)
    found = {NEIGHBOURS: alike(pictures)}
    if wanted["shown"]:
        size = np.linalg.norm(weight, axis=1) * np.linalg.norm(outgoing, axis=0)
        for place, unit in enumerate(np.argsort(-size)[:SHOWN]):
            picture = pictures[unit].ravel() / max(np.abs(pictures[unit]).max(), 1e-12)
            found |= {_name(place, pixel): round(float(value), 2) for pixel, value in enumerate(picture)}
    return found


def alike(pictures: Floats) -> float:
    """The mean correlation of a pixel's weight with those right of it and below it, over pictures `(n, h, w)`.

    >>> ramp = np.add.outer(np.arange(9.0), np.arange(9.0))[None]
    >>> round(alike(ramp), 3), round(alike(np.random.default_rng(0).normal(size=(99, 9, 9))), 1)
    (1.0, -0.0)
    """
    found = []
    for picture in pictures:
        for one, other in ((picture[:, :-1], picture[:, 1:]), (picture[:-1], picture[1:])):
            if one.size > 1 and one.std() > 0 and other.std() > 0:
                found.append(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    return float(np.mean(found)) if found else 0.0


def said(scene: Scene, results: Results, p: float) -> list[str]:
    """A sentence on neighbours, of pictures."""
    plain, noisy = (results.of(f"p = {rate:g}", NEIGHBOURS, scene.seeds) for rate in (0.0, p))
    if plain is None or noisy is None:
        return []
    found = over_seeds(noisy - plain)
    values = f"{plain.mean():.2f} without dropout, {noisy.mean():.2f} at p = {p:g}"
    width = f"95 % interval of the difference {found.low:+.2f} to {found.high:+.2f}"
    measure = f"the mean correlation of neighbouring pixels' weights is {values} ({width})"
    side = seen(found)
    if side == 0:
        return [f"No difference was seen in the smoothness of the first layer's features: {measure}."]
    return [f"Dropout makes the first layer's features {'smoother' if side > 0 else 'rougher'}: {measure}."]


def figure(scene: Scene, results: Results, p: float) -> list[ChapterFigure]:
    """The units of one seed with and without dropout, side by side; none of other data than pictures."""
    if not scene.pixels or scene.image is None:
        return []
    height, width, _ = scene.image
    arms = {rate: _pictures(results, f"p = {rate:g}", scene.seeds[0], height * width) for rate in (0.0, p)}
    if not all(arms.values()):
        return []
    return [
        ChapterFigure(
            kind="pictures",
            title=f"What {SHOWN} units of the first layer look for, without dropout and at p = {p:g}",
            caption="How to read it: a picture is a unit of the first hidden layer, a pixel its weight: white pushes "
            "the unit up, black down, grey says nothing. Each is drawn over its own largest weight. They are those "
            "with the largest weights in and out, of one seed; the random first weights are seen as grain.",
            x_title="",
            y_title="",
            pictures=[ChapterPictures(name=f"p = {rate:g}", width=width, units=units) for rate, units in arms.items()],
        )
    ]


def _pictures(results: Results, arm: str, seed: int, pixels: int) -> list[list[float]]:
    units = []
    for place in range(SHOWN):
        values = [results.of(arm, _name(place, pixel), [seed]) for pixel in range(pixels)]
        there = [float(value[0]) for value in values if value is not None]
        if len(there) == pixels:
            units.append(there)
    return units


def _name(place: int, pixel: int) -> str:
    return f"unit {place} pixel {pixel}"
