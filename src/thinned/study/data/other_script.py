"""Text of another script than Latin, in an encoding without a mark: what its first word is in those that fit."""

from __future__ import annotations

import re

_ENCODINGS = ("cp949", "shift_jis", "gb18030", "big5", "cp1251", "cp1253", "iso8859_8", "cp1256", "cp874")
_RUNS = re.compile(rb"[\x80-\xff]+")
_LONG = 0.5  # of all such bytes: more of them in runs of three and longer are no umlauts or accents


def other_script(content: bytes) -> str | None:
    """The encodings that fit, each with the word as it would be read; None where the text may be one of Latin letters.

    Accents stand alone, or two side by side: of the bytes beyond ASCII most are in short runs there.

    >>> "cp1251 reads 'Москва'" in other_script("town,Москва".encode("cp1251"))
    True
    >>> other_script("town,Köln".encode("cp1252")) is None
    True
    """
    runs = _RUNS.findall(content)
    long = [run for run in runs if len(run) > 2]
    if sum(map(len, long)) <= _LONG * sum(map(len, runs)):
        return None
    start = content.index(long[0])
    line = content[content.rfind(b"\n", 0, start) + 1 :].partition(b"\n")[0]
    found = []
    for encoding in _ENCODINGS:
        try:
            content.decode(encoding)
            words = re.findall(r"[^\W\d_]*[^\x00-\x7f]+\w*", line.decode(encoding))
        except UnicodeDecodeError:
            continue
        if words and all(word.isalnum() for word in words):
            found.append(f"{encoding} reads {words[0][:20]!r}")
    return ", ".join(found) or "cp949, shift_jis, gb18030 or cp1251"
