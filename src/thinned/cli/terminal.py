"""The one door to the terminal: what names, messages and cells may hold is shown, and is no command to anybody."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from ..plain_text import plain_line, plain_text

if TYPE_CHECKING:
    from rich.console import Console


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text for a person: without commands to the terminal, and in signs that the stream has."""
    give(plain_text(text), err=err, nl=nl)


def give(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text for a program as it is. A sign that the stream's encoding lacks is written as Python writes it."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    typer.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err, nl=nl)


def show(console: Console, text: str, style: str = "", *, soft_wrap: bool = False) -> None:
    """Print text for a person in a style: no `[markup]`, no `:emoji:`, no commands."""
    console.print(Text(plain_text(text), style), soft_wrap=soft_wrap)


def cell(text: object, style: str = "") -> Text:
    """A cell, a heading or a title of a table, or a part of a line, in one line."""
    return Text(plain_line(str(text)), style)


def told(error: Exception) -> str:
    """An error in a sentence; one of the system with the file before it."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)
