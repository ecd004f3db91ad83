"""Text stays legible on every colour it is set on, in dark and light (WCAG 2: 4.5 for text, 3 for lines)."""

from __future__ import annotations

import pytest

from thinned.study.report.theme import DARK, LIGHT, STEPS, Colours, recolour


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_legible(colours: Colours) -> None:
    for ground in (colours.paper, colours.panel):
        for role in ("ink", "muted", "good", "bad", "warn", "plain", "noisy", "decay", "other"):
            assert contrast(getattr(colours, role), ground) >= 4.5, role
    for step, ground in enumerate(colours.ramp):
        assert contrast(colours.on_ramp(step), ground) >= 4.5, step


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_the_ramp_leaves_the_paper_step_by_step(colours: Colours) -> None:
    ramp = [contrast(colour, colours.panel) for colour in colours.ramp]
    assert ramp == sorted(ramp)
    assert len(set(ramp)) == STEPS


def test_a_drawing_in_light_colours_has_each_role_s_variable_and_its_words_as_they_are() -> None:
    assert len(set(LIGHT.named().values())) == len(LIGHT.named())
    drawn = (
        f'<path style="fill: {LIGHT.noisy}; stroke: {LIGHT.ramp[3]}"/><text style="fill: #123456">{LIGHT.ink}</text>'
    )
    assert recolour(drawn) == (
        f'<path style="fill: var(--noisy); stroke: var(--ramp3)"/><text style="fill: #123456">{LIGHT.ink}</text>'
    )
