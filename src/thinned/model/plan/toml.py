"""Writes and reads a plan as TOML. A person may edit the file, so every mistake is reported with its file and line.

The standard library reads TOML and does not write it. A plan needs only strings, numbers, booleans and flat arrays.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from ...regular_file import read_regular
from .line import LAYERS, SET, PlanLine

_VARIANTS = "\n#                ".join(
    wrap(f'{", ".join(LAYERS[:-1])} or {LAYERS[-1]}; "{SET}" where the model has the dropout already', width=100)
)
_HEAD = f"""\
# Where dropout goes: a plan by thinned. thinned.apply(model, thinned.Plan.load("this file")) puts it there.
#
# What may be edited in a place:
#   enabled      true or false
#   p            the probability that a unit is DROPPED, from 0 to 1
#   variant      {_VARIANTS}
#   batch_first  of LockedDropout: true where the batch is the sequence's first axis
#   where        "output of PATH", "input of PATH", "output of FUNCTION()#2 in PATH", "p of PATH": docs/guides/plan.md
# Whole places may be added and removed. shape, reason and source are for the reader.
"""
_KEYS: Mapping[str, type] = {
    "enabled": bool,
    "where": str,
    "variant": str,
    "p": float,
    "batch_first": bool,
    "shape": list,
    "reason": str,
    "source": str,
}
_NEEDED = ("where", "variant", "p")
_TOP: Mapping[str, type] = {"model": str, "there": list, "notes": list, "place": list, "rates": dict}
_OWN = ("model", "there", "notes", "place")  # `rates` belongs to `save_rates`
_NAMES = {bool: "true or false", str: "text", list: "an array", dict: "a table"}


def write(model: str, lines: Sequence[PlanLine], there: Sequence[str], notes: Sequence[str]) -> str:
    """The text of the plan in TOML, with comments that say what may be edited."""
    written = [_HEAD, f"model = {text(model)}"]
    for name, values in (("there", there), ("notes", notes)):
        if values:
            written += [f"{name} = [", *(f"    {text(value)}," for value in values), "]"]
    for line in lines:
        written += ["", "[[place]]", f"enabled = {str(line.enabled).lower()}", f"where = {text(line.where)}"]
        written += [f"variant = {text(line.variant)}", f"p = {float(line.p)!r}"]
        if line.variant == "LockedDropout":
            written.append(f"batch_first = {str(line.batch_first).lower()}")
        written += [f"shape = {list(line.shape)}", f"reason = {text(line.reason)}", f"source = {text(line.source)}"]
    return "\n".join(written) + "\n"


def toml_text(path: Path) -> str:
    """The text of a TOML file.

    Raises:
        OSError: it can't be read, is no regular file, or has more than 10 MB.
        ValueError: it is no UTF-8.
    """
    try:
        return read_regular(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: a TOML file must be UTF-8. Byte {error.start} is not. Save it as UTF-8.") from None


def toml(text: str, file: str, what: str) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ValueError: it is no TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file}: {what} must be TOML. {error}.") from None
    except RecursionError:
        raise ValueError(f"{file}: {what} must be TOML of a few levels. It is nested too deeply.") from None


def read(
    data: Mapping[str, Any], text: str, file: str
) -> tuple[str, tuple[str, ...], tuple[str, ...], list[tuple[str, dict[str, Any]]]]:
    """Read a plan from the data of a TOML file. Its text is for the numbers of lines.

    Returns:
        The name of the model's class, the model's own dropout, the notes, and for each line of the plan a text with its
        file and line number, and its settings.

    Raises:
        ValueError: as in `Plan.load`.
        TypeError: as in `Plan.load`.
    """
    for key, value in data.items():
        if key not in _TOP:
            raise ValueError(f"{file}: unknown key {key!r}. A plan has {', '.join(_OWN)}.")
        if not isinstance(value, _TOP[key]):
            raise TypeError(f"{file}: `{key}` must be {_NAMES[_TOP[key]]}. Got {value!r}.")
    starts = [number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("[[place]]")]
    entries = data.get("place", [])
    if len(starts) != len(entries) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{file}: every place must begin with a line [[place]].")
    for name in ("there", "notes"):
        if not all(isinstance(item, str) for item in data.get(name, [])):
            raise TypeError(f"{file}: `{name}` must be an array of text.")
    places = []
    for number, (start, entry) in enumerate(zip(starts, entries, strict=True), 1):
        at = f"{file}:{start}: place {number}"
        places.append((f"{at} ({entry.get('where', 'nowhere')})", dict(_checked(at, entry))))
    return data.get("model", ""), tuple(data.get("there", ())), tuple(data.get("notes", ())), places


def _checked(at: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of one place. Raises an error for a missing or unknown key or a wrong type."""
    for key in _NEEDED:
        if key not in entry:
            raise ValueError(f"{at}: `{key}` is missing. A place needs {', '.join(_NEEDED)}.")
    for key, value in entry.items():
        if key not in _KEYS:
            raise ValueError(f"{at}: unknown key {key!r}. A place has {', '.join(_KEYS)}.")
        if key == "shape":
            if not isinstance(value, list) or not all(type(size) is int for size in value):
                raise TypeError(f"{at}: `shape` must be an array of whole numbers. Got {value!r}.")
            value = tuple(value)
        elif key != "p" and type(value) is not _KEYS[key]:  # `PlanLine` checks p
            raise TypeError(f"{at}: `{key}` must be {_NAMES[_KEYS[key]]}. Got {value!r}.")
        yield key, value


def text(value: str) -> str:
    """A string in TOML. TOML knows all escapes of JSON; only the character DEL must be escaped in addition."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
