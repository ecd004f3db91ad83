"""The one table of papers."""

from __future__ import annotations

from ..error import StudyError
from . import gal2016, gal2016rnn, huang2016, klambauer2017, li2019, liu2023, srivastava2014, wan2013
from .paper import Paper

PAPERS: tuple[Paper, ...] = (
    srivastava2014.PAPER,
    wan2013.PAPER,
    huang2016.PAPER,
    klambauer2017.PAPER,
    gal2016.PAPER,
    gal2016rnn.PAPER,
    li2019.PAPER,
    liu2023.PAPER,
)


def paper(name: str) -> Paper:
    """A paper by its name.

    Raises StudyError: there is none of this name.
    """
    for one in PAPERS:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in PAPERS)
    raise StudyError(
        f"`thinned reproduce`: `name` must be one of {names}. Got {name!r}. `thinned reproduce` says what each is."
    )
