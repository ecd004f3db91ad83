"""Files by chance: awkward pieces of tables and of source, and files of which something was cut, changed or put in."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from typer.testing import Result

CELLS = (
    *("", " ", "0", "1", "-1", "1e39", "inf", "-inf", "nan", "NA", "-0", "1,5", "1.234,5", "1 234", "0x10", "1e-320"),
    *("9007199254740993", "9" * 40, "1_000", "+5", "2020-01-01", "9999-12-31", "0001-01-01", "31.02.2020", "12:61"),
    *("2020-01-01T00:00:00+09:00", "1e400", "\u0661\u0662", "\u00e9", "\ubaa9\ud45c", "\U0001f600", "[/b]", "<i>"),
    *(
        "=1+1",
        "\x1b[31m",
        "\x00",
        '"',
        '""',
        "'",
        "a\nb",
        "a\rb",
        "a\r\nb",
        "x" * 3000,
        "#",
        "\ufeff",
        "\u2028",
        "True",
    ),
    *("false", "up", "down", "None", "$x_{$", "a,b", "a;b", "a\tb", "\x85", "\x1a", "\ud800", "...", "-", "1-2"),
)
NAMES = (
    "a",
    "b",
    "c",
    "y",
    "",
    " ",
    "a",
    "y ",
    "Y",
    "0",
    "Unnamed: 0",
    "index",
    "[red]",
    "\u00e9",
    "a.1",
    "None",
    "n" * 999,
)
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp949", "cp1252", "utf-32")
PIECES = (
    *("(", ")", "[", "]", "{", "}", ":", ";", "'", '"', '"""', "\\", "\n", "\r", "\t", "\x00", "\x0c", "#", "\ufeff"),
    *(
        "# coding: latin-1\n",
        "# coding: utf-16\n",
        "# coding: nowhere\n",
        "# noqa",
        "# noqa: THN101",
        "\u00e9",
        "=",
        ".",
    ),
    *(
        "F.dropout(x)",
        "self.training",
        "lambda: ",
        "*",
        "**",
        "async ",
        "await ",
        "yield ",
        "return ",
        "if x:\n",
        "f'{x}'",
    ),
    *(
        "    ",
        "  ",
        "not ",
        "1e999",
        "-1",
        "true",
        "[[",
        "]]",
        "nan",
        "inf",
        "1979-05-27",
        "\ud800",
        "\U0001f600",
        "(" * 99,
    ),
)


def damaged(content: bytes, chance: random.Random, times: int = 3) -> bytes:
    """The content with up to so many faults: cut, bytes changed, parts doubled or left out, pieces put in."""
    for _ in range(chance.randint(1, times)):
        at, other = (chance.randint(0, len(content)) for _ in range(2))
        first, last = min(at, other), max(at, other)
        last = min(last, first + chance.choice((1, 1, 4, 40, 4000)))
        match chance.randrange(6):
            case 0:
                content = content[:at]
            case 1:
                content = content[:first] + content[last:]
            case 2:
                content = content[:last] + content[first:last] + content[last:]
            case 3:
                changed = bytes(byte ^ (1 << chance.randrange(8)) for byte in content[at : at + 1])
                content = content[:at] + changed + content[at + 1 :]
            case 4:
                piece = chance.choice(PIECES).encode("utf-8", "surrogatepass")
                content = content[:at] + piece + content[at:]
            case _:
                content = content[:at] + chance.randbytes(chance.choice((1, 2, 8))) + content[at:]
    return content


def awkward_table(chance: random.Random) -> bytes:
    """A table as text: usual rows with a few awkward cells, or awkward all over."""
    wild = chance.random() < 0.3
    width, rows = chance.randint(1, 5), chance.choice((0, 1, 2, 5, 30, 30, 60))
    names = [chance.choice(NAMES) if wild or chance.random() < 0.1 else NAMES[place] for place in range(width)]
    names[-1] = names[-1] if wild and chance.random() < 0.5 else "y"
    few = [chance.sample(CELLS, chance.randint(1, 3)) for _ in range(width)]

    def cell(column: int) -> str:
        if chance.random() < (0.5 if wild else 0.03):
            return chance.choice(few[column])
        kinds = (f"{chance.gauss(0, 1):.3f}", str(chance.randint(0, 9)), chance.choice(("up", "down")))
        return kinds[2 if names[column] == "y" else column % 3]

    sep, end = chance.choice(",,,;\t|"), chance.choice(("\n", "\n", "\r\n", "\r"))
    lines = [names, *([cell(column) for column in range(width)] for _ in range(rows))]
    if chance.random() < 0.15 and lines[1:]:
        line = chance.choice(lines[1:])
        line[:] = chance.choice(([], line[1:], [*line, "more"]))
    text = ""
    for line in lines:
        quoted = [f'"{each}"' if chance.random() < 0.1 else each for each in line]
        text += sep.join(quoted) + (end if chance.random() < 0.98 else chance.choice(("\n", "\r", "\r\n", "\n\n", "")))
    content = text.encode(chance.choice(ENCODINGS) if chance.random() < 0.3 else "utf-8", "replace")
    return damaged(content, chance) if chance.random() < 0.4 else content


class HangsError(BaseException):
    """A call has taken a minute, where it takes a moment."""


@contextmanager
def a_minute_at_most() -> Iterator[None]:
    """Within it what hangs is an error."""

    def end(_: int, __: FrameType | None) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def assert_an_answer_or_a_sentence(call: Callable[[], Result], folder: Path) -> Result:
    """The command ends by itself with code 0, 1 or 2, says why where it is 2, and changes no file of a folder."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with a_minute_at_most():
        result = call()
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (0, 1, 2)
    assert "Traceback" not in result.output
    assert result.exit_code != 2 or result.output.strip()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return result
