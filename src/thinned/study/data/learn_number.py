"""How a column of text writes numbers: decimal sign, thousands, unit; and which of its values are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from .cell import PLAIN, number
from .forms import MONEY_MAY_LACK, NumberForm

Decimal = Literal[".", ","]
Texts = Mapping[str, int]  # different texts of a column, and how often each is there
MOST = 0.9  # of a column's values: as many numbers make a column of numbers
_LOOKED_AT = 500  # different texts that tell a table's decimal sign
_PAYMENTS = MONEY_MAY_LACK + "%\u2030"


@dataclass(frozen=True)
class FoundNumbers:
    """The form that reads the most values, and the texts that it can't read.

    `other` is a text's other reading, where the decimal sign is open and it matters.
    """

    form: NumberForm
    strays: tuple[str, ...]
    share: float  # of values that are numbers
    mixed: tuple[str, str] | None = None  # two texts with different units
    other: tuple[str, float, float] | None = None


def decimal_sign(columns: Sequence[Texts], sep: str | None) -> Decimal | None:
    """The decimal sign that a table's text columns tell; None where a table with semicolons leaves it open."""
    votes: Counter[Decimal] = Counter()
    for texts in columns:
        some = dict(islice(texts.items(), _LOOKED_AT))
        total = sum(some.values())
        hits = {sign: max(_hits(some, sign, grouped) for grouped in (False, True)) for sign in _signs(None)}
        if total and max(hits.values()) >= MOST * total and hits["."] != hits[","]:
            votes["." if hits["."] > hits[","] else ","] += 1
    if votes["."] == votes[","]:
        return None if sep == ";" else "."
    return "." if votes["."] > votes[","] else ","


def find_numbers(texts: Texts, decimal: Decimal | None, fixed: bool = False) -> FoundNumbers:
    """How to read `texts`, whose missing values are left out already.

    Arguments:
        decimal: the table's decimal sign, which decides where a column could be read either way; None: open.
        fixed: whether the caller said so; then no other sign is tried.
    """
    if decimal == "." and all(map(PLAIN.fullmatch, texts)):
        return FoundNumbers(NumberForm(), (), 1.0)
    total = max(sum(texts.values()), 1)
    found: list[tuple[int, NumberForm, tuple[str, ...], tuple[str, str] | None]] = []
    for sign in (decimal,) if fixed and decimal else _signs(decimal):
        for grouped in (False, True):
            form, strays, mixed = _with_unit(texts, sign, grouped)
            found.append((sum(texts[text] for text in strays), form, strays, mixed))
            if not strays:
                break
        if not found[-1][0] and decimal:
            break
    missed, form, strays, mixed = min(found, key=lambda item: item[0])
    other = None
    if decimal is None and missed == 0:
        rival = next((item[1] for item in found if item[0] == 0 and item[1].decimal != form.decimal), None)
        other = None if rival is None else _difference(texts, form, rival)
    return FoundNumbers(form, strays, 1 - missed / total, mixed, other)


def _signs(decimal: Decimal | None) -> tuple[Decimal, Decimal]:
    return (",", ".") if decimal == "," else (".", ",")


def _hits(texts: Texts, decimal: Decimal, grouped: bool) -> int:
    return sum(count for text, count in texts.items() if number(text, decimal, grouped) is not None)


def _with_unit(
    texts: Texts, decimal: Decimal, grouped: bool
) -> tuple[NumberForm, tuple[str, ...], tuple[str, str] | None]:
    """The form with the unit that most values have, the texts it can't read, and two texts of different units.

    A unit in letters, as in 12 kg, counts only where every value has it: else such texts are codes.
    """
    found = {text: number(text, decimal, grouped) for text in texts}
    signed = [text for text in texts if text.startswith("(")]
    if len(signed) == len(texts) > 0:  # no value without brackets: they may mean anything
        return NumberForm(decimal, grouped), tuple(texts), None
    units: Counter[str] = Counter()
    for text, value in found.items():
        if value is not None:
            units[value[1]] += texts[text]
    unit = units.most_common(1)[0][0] if units else ""
    if len(units) == 2 and "" in units and max(units) in MONEY_MAY_LACK:
        unit = max(units)  # $5 and 5
    if not _payment(unit) and units[unit] < sum(texts.values()):
        unit = ""
    form = NumberForm(decimal, grouped, unit)
    strays = tuple(text for text in texts if form.value(text) is None)
    named = [text for text in strays if (value := found[text]) is not None and _payment(value[1])]
    mixed = None
    if named and _payment(unit) and sum(units.values()) >= MOST * sum(texts.values()):
        mixed = next(text for text in texts if text not in strays), named[0]
    return form, strays, mixed


def _payment(unit: str) -> bool:
    return unit == "" or unit in _PAYMENTS


def _difference(texts: Texts, one: NumberForm, two: NumberForm) -> tuple[str, float, float] | None:
    """A text that two forms read differently, unless all differ by one factor, which changes nothing."""
    pairs = [(text, first, second) for text in texts if (first := one.value(text)) and (second := two.value(text))]
    ratios = {round(first / second, 9) for _, first, second in pairs}
    return max(pairs, key=lambda pair: abs(pair[1] - pair[2])) if len(ratios) > 1 else None
