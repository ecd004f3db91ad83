"""What one cell of text says: nothing, a truth value, a number. Each cell is read by itself."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# Where numbers, dates or truth values are expected. A text column keeps such words as they stand.
NOTHING = frozenset({
    "", "?", "??", "-", "--", "---", "\u2013", "\u2014", ".", "..", "*", "na", "n/a", "n.a.", "n.a", "#n/a", "#na",
    "<na>", "nan", "-nan", "nat", "null", "(null)", "none", "nil", "\\n", "missing", "unknown", "blank", "(blank)",
    "no data", "not available", "not applicable", "not known", "#null!", "#div/0!", "#value!", "#ref!", "#num!",
    "0000-00-00", "0000-00-00 00:00:00",
})  # fmt: skip
TRUTH = {"true": 1.0, "false": 0.0}
HOURS = "h:mm"  # the unit of 12:30 and 12:30:00, which are 12.5
MOST_DIGITS = 15  # of a whole number that float64 keeps exactly
_SPACES = " \u00a0\u2009\u202f'\u2019"  # that set thousands apart in any country
_MONEY = (
    r"US\$|CA\$|AU\$|HK\$|NZ\$|R\$|[$\u20ac\u00a3\u00a5\u20a9\u20b9\u20bd\u20ba\u20ab\u0e3f\u20aa\u20b4]"
    r"|USD|EUR|GBP|JPY|KRW|CNY|INR|CHF|CAD|AUD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|RUB|TRY|ZAR"
)
_NUMBER = re.compile(
    rf"(?:(?P<first>{_MONEY})\s*(?=\())?(?P<open>\()?\s*(?P<sign>[+\-\u2212])?\s*(?P<before>{_MONEY})?\s*(?P<inner>[+\-\u2212])?"
    rf"(?P<digits>[0-9.,{_SPACES}]*[0-9][.,]?)(?P<exponent>[eE][+\-]?[0-9]+)?(?P<last>[\-\u2212])?"
    rf"\s*(?P<after>%|\u2030|{_MONEY}|(?:[^\W\d_]|\u00b0)[^\s()%,]{{0,7}})?\s*(?P<close>\))?"
)
PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")  # what `float` reads
_SIGNS = {"\uff0e": ".", "\uff0c": ",", "\uff05": "%", "\uff0d": "-", "\uff0b": "+", "\u066b": ".", "\u066c": ","}
_SIGNS |= {"\u066a": "%"}
_CLOCK = re.compile(r"([0-9]{1,3}):([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]+)?))?")
_INFINITE = re.compile(r"([+-]?)(inf|infinity)", re.IGNORECASE)
_SPACED = re.compile(rf"[0-9]{{1,3}}(?:([{_SPACES}])[0-9]{{3}})(?:\1[0-9]{{3}})*(?![0-9{_SPACES}])")


def says_nothing(text: str) -> bool:
    """Whether a number or a date is missing here: an empty cell, `?`, `n/a` and the like."""
    return text.strip().lower() in NOTHING


def is_code(text: str) -> bool:
    """Digits that name something: a zero in front, or more than a number can keep."""
    return text.isdecimal() and ((len(text) > 1 and text[0] == "0") or len(text) > MOST_DIGITS)


def number(text: str, decimal: str = ".", grouped: bool = False) -> tuple[float, str] | None:
    """The value of a cell and its unit ("%", "$", "kg" or ""); None where it is no number.

    Arguments:
        decimal: the decimal sign, "." or ",". The other one sets thousands apart.
        grouped: whether one group of thousands without a decimal part counts: 1,200 with "." as the decimal sign.
            1,234,567 and 1,200.50 say by themselves what they are, and so does 1 200.

    >>> number("$1,200.50"), number("3,14", ","), number("(12)"), number("12 %"), number("1,200")
    ((1200.5, '$'), (3.14, ''), (-12.0, ''), (12.0, '%'), None)
    """
    text = text if text.isascii() else _in_ascii(text)
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        clock = _CLOCK.fullmatch(text.strip())
        if clock is not None:
            return int(clock[1]) + int(clock[2]) / 60 + float(clock[3] or 0) / 3600, HOURS
        special = _INFINITE.fullmatch(text.strip())
        return None if special is None else (float(special[0]), "")
    if bool(found["open"]) != bool(found["close"]) or (found["sign"] and found["inner"]):
        return None
    if found["open"] and (found["sign"] or found["inner"]):
        return None
    if found["last"] and (found["open"] or found["sign"] or found["inner"] or not set(found["digits"]) & {".", ","}):
        return None  # 60- is no number, and 1.234,50- is one of SAP's
    units = [unit for unit in (found["first"], found["before"], found["after"]) if unit]
    if len(units) > 1:
        return None
    digits = _plain(found["digits"], decimal, grouped)
    if digits is None:
        return None
    value = float(digits + (found["exponent"] or ""))
    negative = found["open"] or (found["sign"] or found["inner"] or found["last"] or "+") != "+"
    return (-value if negative else value), units[0] if units else ""


def _in_ascii(text: str) -> str:
    """The text with the digits of any script, and the signs of full width and of Arabic, as ASCII has them."""
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else _SIGNS.get(sign, sign) for sign in text)


def _plain(digits: str, decimal: str, grouped: bool) -> str | None:
    """Digits as Python writes them, or None where signs stand where none belong."""
    spaced = _SPACED.match(digits)
    if spaced is not None:
        digits = re.sub(f"[{_SPACES}]", "", spaced[0]) + digits[spaced.end() :]
        if ("," if decimal == "." else ".") in digits:
            return None
    plain, groups = _shapes(decimal)
    if plain.fullmatch(digits):
        return digits.replace(decimal, ".")
    found = groups.fullmatch(digits)
    if found is None:
        return None
    thousands = "," if decimal == "." else "."
    if digits.count(thousands) == 1 and decimal not in digits and not grouped:
        return None
    return digits.replace(thousands, "").replace(decimal, ".")


@cache
def _shapes(decimal: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    point, group = re.escape(decimal), re.escape("," if decimal == "." else ".")
    few = "{2,3}" if decimal == "." else "{3}"  # 12,34,567 in India
    return (
        re.compile(rf"[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+"),
        re.compile(rf"[1-9][0-9]{{0,2}}(?:{group}[0-9]{few})*{group}[0-9]{{3}}(?:{point}[0-9]*)?"),
    )
