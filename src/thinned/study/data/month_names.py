"""Names of months as some languages write them, put into the English that `strptime` reads.

Six languages and no more: pandas reads English alone, and Python's locales are not on every machine. A column in
another language stays text, and what it was taken for says that it looks like dates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

_ENGLISH = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_LANGUAGES = (  # German, French, Spanish, Italian, Portuguese, Dutch; without accents
    "januar februar marz april mai juni juli august september oktober november dezember",
    "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
)
_OTHERS = {"janner": 0, "maerz": 2, "mrz": 2, "mrt": 2}
_FULL = {name: at for names in (*map(str.split, _LANGUAGES), _ENGLISH) for at, name in enumerate(names)} | _OTHERS
_SHORT = {name[:size]: at for name, at in _FULL.items() for size in range(3, len(name) + 1) if name[:size] != "jui"}
_AS_THEY_ARE = {name[:size] for name in _ENGLISH for size in (3, len(name))}
_WORD = re.compile(r"[^\W\d_]{3,}(?:\.(?=[ ,]|$))?")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th|er|º)\b", re.IGNORECASE)
_LIKE_A_DATE = re.compile(
    r"(?:[^\W\d_]+[.,]* +)?(?:\d{1,2}[.,]?(?: +de)? +[^\W\d_]{3,}\.?|[^\W\d_]{3,}\.? +\d{1,2}),?(?: +de)?"
    r" +(?:1[89]|20)\d{2}\b.*"
)
_MOST = 0.9  # of the texts: so many that look like dates are said to


def in_english(text: str, format: str) -> str:  # noqa: A002 - the name that pandas has
    """A date's text with its month in English, as long as `format` has it; any other text as it stands.

    A short name is one of three letters or more that a month's name begins with. Without a day beside it, it may be
    another word, as in "Set 2024": then only whole names count.

    >>> in_english("3. Mär 2024", "%d. %b %Y"), in_english("1er févr. 2024", "%d %B %Y"), in_english("Set 24", "%b %y")
    ('3. Mar 2024', '1 February 2024', 'Set 24')
    """
    if "%b" not in format and "%B" not in format:
        return text
    return _in_english(text, "%B" in format, "%d" in format)


@lru_cache(maxsize=4096)
def _in_english(text: str, full: bool, day: bool) -> str:
    known = _SHORT if day else _FULL

    def month(found: re.Match[str]) -> str:
        word = found[0].lower()
        at = known.get(_plain(word.rstrip(".")))
        return found[0] if word in _AS_THEY_ARE or at is None else _ENGLISH[at].title()[: None if full else 3]

    return _WORD.sub(month, _ORDINAL.sub("", unicodedata.normalize("NFC", text)))


def look_like_dates(texts: Mapping[str, int]) -> bool:
    """Whether nearly all texts are a day, a word and a year, in whatever language."""
    return bool(texts) and sum(map(bool, map(_LIKE_A_DATE.fullmatch, texts))) >= _MOST * len(texts)


def _plain(word: str) -> str:
    """A word without accents."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))
