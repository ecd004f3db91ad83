"""How numbers were read, in words."""

from __future__ import annotations

from collections.abc import Iterable

from .forms import NumberForm


def numbers_in_words(form: NumberForm, texts: Iterable[str]) -> str:
    """Unit, decimal comma and thousands, where a reader must know of them."""
    said = "numbers"
    if form.unit:
        said += f" in {form.unit}"
    if form.decimal == "," and any(form.decimal in text for text in texts):
        said += ", decimal sign ','"
    if form.grouped:
        said += f", thousands set apart by {',' if form.decimal == '.' else '.'!r}"
    return said
