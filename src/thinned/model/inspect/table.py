"""An inspection as a table: as plain text, or as a table of Rich where Rich is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...plain_text import plain_line
from ..text_table import text_table
from .place import Place

FOUND = "found"  # the heading of the mode in which a place was found, and whether it drew noise so
WIDE = 100  # columns of a terminal in which the whole table fits
HEAD = ("place", "kind", "called at", "p", "measured", "shape", "calls", "active", FOUND, "time", "")


def cells(place: Place) -> tuple[str, ...]:
    """The row of a place, without commands to a terminal."""
    shape = "x".join(str(size) for size in place.shape)
    if place.shared:
        shape += f" (one draw along {', '.join(map(str, place.shared))})"
    calls = f"{place.train_calls}" if place.train_calls == place.eval_calls or not place.eval_calls else ""
    row = (
        place.name or "(the model)",
        place.kind,
        f"{Path(place.file).name}:{place.line}" if place.file else "",
        "" if place.p is None else f"{place.p:.3g}",
        "" if place.measured is None else f"{place.measured:.3f}",
        shape,
        calls or f"{place.train_calls} / {place.eval_calls}",
        place.active,
        ", ".join(filter(None, (place.mode, "draws" if place.now else ""))),
        "" if place.share is None else f"{100 * place.share:.1f} %",
        place.remark,
    )
    return tuple(map(plain_line, row))


def summary(model: str, places: Sequence[Place], seconds: float, unseen: Sequence[str] = ()) -> str:
    """One line below the table."""
    active = sum(place.train_calls > 0 for place in places)
    remarks = [plain_line(place.remark) for place in places if place.remark]
    noted = "; ".join(f"{remarks.count(remark)} {remark}" for remark in dict.fromkeys(remarks))
    keras = "; ".join(map(plain_line, unseen))
    share = 100 * sum(place.share or 0.0 for place in places)
    measured = not places or any(place.share is not None for place in places)
    time = f"in {share:.1f} % of a forward pass" if measured else "in a forward pass"
    return (
        f"{plain_line(model)}: {len(places)} places, {active} draw noise in training, {time}"
        f" of {1e3 * seconds:.3g} ms. "
        + (f"Look at: {noted}." if noted else "None draws in eval mode.")
        + (f" Not seen: dropout of Keras in {keras}, which follows the call's `training=`." if keras else "")
    )


def text(model: str, places: Sequence[Place], seconds: float, unseen: Sequence[str] = ()) -> str:
    """The table as plain text; a place that stands out has a "!" before it."""
    marks = [" ", *("!" if place.remark else " " for place in places)]
    table = text_table(HEAD, [cells(place) for place in places])
    lines = [f"{mark} {line}" for mark, line in zip(marks, table, strict=True)]
    return "\n".join([*lines, "", summary(model, places, seconds, unseen)])


def rich_table(model: str, places: Sequence[Place], seconds: float, width: int, unseen: Sequence[str] = ()) -> Any:
    """The table as Rich prints it. A remark stands below the place's name, so that 80 columns are enough.

    In a narrow terminal the column of modes is left out, and a mode that stands out is in the remark.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = Text(summary(model, places, seconds, unseen))
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, caption=caption, caption_justify="left")
    shown = [name for name in HEAD[:-1] if name != FOUND or width >= WIDE]
    for name in shown:
        folds = name in ("place", "kind", "called at", "shape")
        number = name in ("p", "measured", "time")
        table.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=not folds)
    modes = {place.mode for place in places}
    for place in places:
        style = "bold red" if place.eval_calls else "bold yellow" if place.remark else "dim" if not place.p else None
        row = dict(zip(HEAD, cells(place), strict=True))
        mode = f"found in {place.mode} mode" if place.mode and len(modes) > 1 and width < WIDE else ""
        remark = "; ".join(filter(None, (row[""], mode)))
        row["place"] += f"\n! {remark}" if remark else ""
        table.add_row(*(Text(row[name]) for name in shown), style=style if row[""] or place.p == 0 else None)
    return table
