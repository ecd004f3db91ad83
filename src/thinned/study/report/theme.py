"""One set of colour names, two sets of values: figures are drawn once in light colours, which become CSS variables.

Blue against vermilion, with line styles that differ as well, stays apart for every common form of colour blindness.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

STEPS = 9  # of the ramp that heat maps use


@dataclass(frozen=True)
class Colours:
    """A colour for each role on the page. `ramp` runs from near the paper to far from it, in dark and light alike."""

    paper: str
    panel: str
    ink: str
    muted: str
    rule: str
    plain: str  # p = 0
    noisy: str  # the best p above 0
    decay: str
    other: str  # dropout and decay together, inputs dropped as well
    dropped: str
    good: str
    bad: str
    warn: str
    ramp: tuple[str, ...]

    def named(self) -> dict[str, str]:
        """Every colour by its CSS variable's name."""
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "ramp"}
        return named | {f"ramp{step}": colour for step, colour in enumerate(self.ramp)}

    def css(self) -> str:
        """The colours as CSS declarations."""
        return "".join(f"--{name}:{colour};" for name, colour in self.named().items())

    def on_ramp(self, step: int) -> str:
        """The text colour that is legible on a step of the ramp."""
        return self.ink if step < 5 else self.panel


LIGHT = Colours(
    paper="#f6f7f9",
    panel="#ffffff",
    ink="#171b21",
    muted="#565f6b",
    rule="#d5dae1",
    plain="#b8480a",
    noisy="#1767ad",
    decay="#5d6470",
    other="#7a3e9d",
    dropped="#f2b48c",
    good="#14703e",
    bad="#a8321f",
    warn="#8a5a00",
    ramp=("#f0f5fa", "#dde9f4", "#c3d8ed", "#a0c1e2", "#719fcd", "#4376a9", "#336596", "#235381", "#14406a"),
)
DARK = Colours(
    paper="#0f1216",
    panel="#171b21",
    ink="#e8ebef",
    muted="#a3adb9",
    rule="#343b45",
    plain="#ff9a5c",
    noisy="#6cb4f5",
    decay="#aab2bd",
    other="#cf9cf0",
    dropped="#8a4a20",
    good="#5fce92",
    bad="#ff8d7a",
    warn="#e8b64c",
    ramp=("#1b2530", "#1f3042", "#233c55", "#2a4d71", "#366492", "#5f9ad1", "#80b4e5", "#9dc8f0", "#badaf8"),
)


def recolour(svg: str) -> str:
    """An SVG drawn in `LIGHT`, with every colour of a style replaced by its CSS variable; words stay as they are."""
    names = {colour: f"var(--{name})" for name, colour in LIGHT.named().items()}

    def renamed(style: re.Match[str]) -> str:
        return re.sub(r"#[0-9a-f]{6}", lambda colour: names.get(colour[0], colour[0]), style[0])

    return re.sub(r'style="[^"]*"', renamed, svg)
