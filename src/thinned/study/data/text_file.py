"""The rows of a text file: encoding and separator found out or given, values as text, every row with its line."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ...plain_text import in_utf8
from ..error import StudyError
from .other_script import other_script
from .overrule import SEPARATORS, TextForm

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNS = (",", ";", "\t", "|")
_SAMPLE = 200  # records that are looked at for the separator
_FIRST = 65_536  # bytes that are looked at for the encoding
_NAMES = {sign: name for name, sign in SEPARATORS.items() if name.isalpha()}
_SAID_SEP = re.compile(r'"?sep=(.)"?\r?\n')  # a line for spreadsheets, before the header


@dataclass(frozen=True)
class TextRows:
    """Names and rows as they stand, each row with the line that it begins in.

    `form` is what was found or given, and `said` tells it.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    form: TextForm
    said: str


def read_text(path: Path, asked: TextForm) -> TextRows:
    """Read a `.csv` or `.tsv` file, gzipped or not.

    Raises:
        StudyError: it can't be decoded, a row has more or fewer fields than the header, a name is blank or stands
            twice, a quote is not closed; with the line.
        OSError, EOFError, zlib.error: it can't be read.
    """
    text, encoding, guess = _text_of(path, asked)
    skipped, sep = 0, asked.sep
    if (said := _SAID_SEP.match(text)) is not None:
        text, skipped, sep = text[said.end() :], 1, sep or said[1]
    if sep is None:
        sep = _separator(text, "\t" if ".tsv" in path.suffixes[-2:] else None)
    names, rows, lines = _records(path, text, sep, skipped)
    if not names:
        raise StudyError(f"{path}: could not be read: it is empty. Its first line must name the columns.")
    _check_names(path, names, lines[0])
    _check_widths(path, names, rows, lines, sep)
    form = replace(asked, sep=sep, encoding=encoding)
    return TextRows(names, tuple(rows), tuple(lines[1:]), form, _told(sep, encoding, guess))


def decode_text(path: Path, asked: TextForm) -> str:
    """A file of running text. Raises StudyError: it can't be read or decoded."""
    try:
        return _text_of(path, asked)[0].removeprefix("\ufeff")
    except OSError as error:
        raise StudyError(f"{in_utf8(path)}: could not be read: {error.strerror or error}.") from error


def _text_of(path: Path, asked: TextForm) -> tuple[str, str, str]:
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        content = gzip.decompress(content)
    text, encoding, guess = _decoded(path, content, asked.encoding)
    if "\0" in text:
        raise StudyError(
            f"{path}: could not be read: as {encoding} it holds zero bytes, which no text does. Pass the file's "
            "--encoding, or a text file."
        )
    return text, encoding, guess


def _decoded(path: Path, content: bytes, asked: str | None) -> tuple[str, str, str]:
    """The text, its encoding, and where that is a guess, a word of the text that shows whether it is right."""
    encoding = asked or next((name for bom, name in _BOMS if content.startswith(bom)), None) or _by_zeros(content)
    try:
        return content.decode(encoding or "utf-8"), encoding or "utf-8", ""
    except UnicodeDecodeError as error:
        if encoding is not None:
            how = "was asked for" if asked else "is what its first bytes say"
            raise StudyError(
                f"{path}: could not be read: line {_line(content, error.start)} is no {encoding}, which {how}. Pass "
                "the file's --encoding, as utf-8, cp1252, utf-16, cp949 or shift_jis."
            ) from error
        where = error.start
    repaired = content.decode("utf-8", errors="replace")
    if sum(sign > "\x7f" for sign in repaired) > 2 * repaired.count("\ufffd"):  # most of what is not ASCII is UTF-8
        raise StudyError(
            f"{path}: could not be read: line {_line(content, where)} is no UTF-8, and other lines are. Mend it, or "
            "pass the file's --encoding."
        )
    if (other := other_script(content)) is not None:
        raise StudyError(
            f"{path}: could not be read: line {_line(content, where)} is no UTF-8, and it looks like no text of "
            f"Western Europe. Pass the file's --encoding: {other}."
        )
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path}: could not be read: line {_line(content, where)} is no UTF-8, and line "
            f"{_line(content, error.start)} is no cp1252. Pass the file's --encoding, as cp949, shift_jis or gb18030."
        ) from error
    strange = re.search(r"\w*[^\x00-\x7f]+\w*", text)
    return text, "cp1252", strange[0][:30] if strange else ""


def _by_zeros(content: bytes) -> str | None:
    """UTF-16 without a mark: every other byte is 0."""
    first = content[:_FIRST]
    if len(first) < 4 or b"\0" not in first:
        return None
    even, odd = first[::2].count(0), first[1::2].count(0)
    if max(even, odd) < 0.4 * len(first) / 2:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _line(content: bytes, byte: int) -> int:
    return content.count(b"\n", 0, byte) + 1


def _separator(text: str, usual: str | None) -> str:
    """The sign that gives most rows as many fields as the header; of equals, the one with more fields."""
    found: list[tuple[float, int, str]] = []
    for sign in _SIGNS:
        widths = []
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, skipinitialspace=sign != "\t")
        try:
            widths = [len(row) for row in islice(reader, _SAMPLE) if row]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            usual_width, _ = Counter(widths).most_common(1)[0]
            alike = widths.count(usual_width) / len(widths)
            found.append((round(alike, 2) * (0.5 if usual_width == 1 else 1.0), widths[0], sign))
    if usual is not None and any(sign == usual for _, _, sign in found):
        return usual
    return max(found)[2] if found else usual or ","


def _records(path: Path, text: str, sep: str, skipped: int) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[int]]:
    """The header, the other rows, and the line that each begins in, the header's first. Blank lines are left aside."""
    names: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    for line, row in _numbered(path, text, sep, skipped):
        if not row or (len(row) == 1 and not row[0].strip() and len(names) != 1):
            continue
        lines.append(line)
        if names:
            rows.append(tuple(row))
        else:
            names = tuple(name.strip() for name in row)
    return names, rows, lines


def _numbered(path: Path, text: str, sep: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=not sep.isspace(), strict=True)
    line = skipped + 1
    try:
        for row in reader:
            yield line, row
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        raise StudyError(
            f"{path}: could not be read: the row that begins in line {line} has quotes that do not fit ({error}). "
            'A field with quotes is written as "so ""said"" he". Or pass another --sep.'
        ) from error


def _check_names(path: Path, names: tuple[str, ...], line: int) -> None:
    for number, name in enumerate(names):
        if not name and number > 0:
            comma = " Or take the sign off the end of each line." if number == len(names) - 1 else ""
            raise StudyError(
                f"{path}: line {line}: every column must have a name. Field {number + 1} of {len(names)} has none. "
                f"Name it.{comma}"
            )
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        places = " and ".join(str(number + 1) for number, name in enumerate(names) if name == twice)
        raise StudyError(
            f"{path}: line {line}: column names must differ. {twice!r} is there twice, in fields {places}. Rename one, "
            "or remove it."
        )


def _check_widths(path: Path, names: tuple[str, ...], rows: list[tuple[str, ...]], lines: list[int], sep: str) -> None:
    odd = [number for number, row in enumerate(rows) if len(row) != len(names)]
    if not odd:
        return
    first = rows[odd[0]]
    said = (
        f"{path}: could not be read: line {lines[odd[0] + 1]} has {len(first)} fields, the header has {len(names)} "
        f"({_NAMES.get(sep, repr(sep))} between fields)"
    )
    others = f", and so have {len(odd) - 1:,} other lines" if len(odd) > 1 else ""
    if len(names) == 1:
        step = "Take away what stands above the names of the columns, or pass another --sep."
    elif len(first) == len(names) + 1 and all(len(rows[number]) == len(first) for number in odd):
        if all(not rows[number][-1].strip() for number in odd):
            step = f"Take the {_NAMES.get(sep, repr(sep))} off the end of {'each line' if others else 'it'}."
        elif len(odd) == len(rows):
            step = (
                "Name the column that the header leaves out, perhaps the first, which may number the rows; or quote "
                'the fields that hold the sign between fields, as "3,14".'
            )
        else:
            step = 'A field that holds the sign between fields must be quoted: "1,200".'
    elif len(first) > len(names):
        step = 'A field that holds the sign between fields must be quoted: "1,200". Or pass another --sep.'
    else:
        step = "Fill the row up, also where nothing is there, or remove it. Or pass another --sep."
    raise StudyError(f"{said}{others}. {step}")


def _told(sep: str, encoding: str, guess: str) -> str:
    said = f"Read as {encoding} with {_NAMES.get(sep, repr(sep))} between fields"
    if guess:
        said += f"; the encoding is a guess (is {guess!r} right?), and --encoding says it"
    return said
