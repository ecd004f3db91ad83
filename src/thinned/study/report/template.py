"""A page from its template, which fills the frame that all pages share: head, colours and styles."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from thinned.study.report.theme import DARK, LIGHT
from thinned.study.report.units import unbroken


def filled(name: str, **values: Any) -> str:
    """The whole page. Every value is escaped, except markup that a figure is."""
    environment = Environment(
        loader=PackageLoader("thinned.study.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    return environment.get_template(name).render(light=LIGHT.css(), dark=DARK.css(), **values)
