"""`thinned bench`: what dropout costs on this machine, torch's and ours, with a copy as the floor."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..replaced_file import check_place
from .terminal import show, told

if TYPE_CHECKING:
    import torch

    from .bench_timing import Row

EPILOG = """
Examples:

    thinned bench

    thinned bench --device cuda --dtype bfloat16 --p 0.1 --sizes 2^10,2^20,2^26

    thinned bench --sizes 4096 --seconds 0.1 --csv mine.csv --plot mine.svg
"""

SIZES = {"cpu": "2^6,2^10,2^14,2^18,2^22", "cuda": "2^10,2^14,2^18,2^22,2^26", "xpu": "2^10,2^14,2^18,2^22,2^26"}
_BAR = 40  # characters of the longest


def bench(
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or xpu; a GPU if torch finds one.")] = "",
    dtype: Annotated[str, typer.Option(help="Types, with commas between them.")] = "float32,bfloat16",
    p: Annotated[float, typer.Option(help="The probability that a unit is dropped.")] = 0.1,
    sizes: Annotated[str, typer.Option(help="Numbers of elements, with commas between them: 4096,2^20.")] = "",
    seconds: Annotated[float, typer.Option(min=0.0, help="About how long each size is measured.")] = 0.3,
    file: Annotated[Path, typer.Option("--csv", help="The rows are appended to it.")] = Path("thinned-bench.csv"),
    plot: Annotated[Path, typer.Option(help="A picture of this run: .png, .svg or .pdf.")] = Path("thinned-bench.png"),
) -> None:
    """Measure dropout of one tensor on this machine: torch's and thinned's, forward and backward, beside a copy.

    Exit code 2: no such device, type or size, one that can't be measured here, or a file that can't be written.
    """
    import torch

    from .bench_picture import draw
    from .bench_timing import MeasuringError, append, measured

    where = _device(device)
    types = [_type(name) for name in dtype.split(",")]
    counts = [_size(text) for text in (sizes or SIZES.get(where.type, SIZES["cpu"])).split(",")]
    if not 0 < p <= 1:
        raise typer.BadParameter(f"`p` must be a number in (0, 1]. Got {p:g}.", param_hint="--p")
    console = Console()
    _check_places(console, file, plot)
    name, (backend, reason) = _name(where), _backend(where)
    start = {
        "date": datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="seconds"),
        "device": name,
        "torch": torch.__version__,
        "thinned": version("thinned"),
        "backend": backend,
    }
    by = f"{backend} ({reason})" if reason else backend
    show(console, f"{name}; torch {torch.__version__}; thinned {start['thinned']} by {by}")
    rows: list[Row] = []
    try:
        with console.status("measuring"):
            for group in measured(where, types, p, counts, seconds):
                rows += [start | row for row in group]
    except MeasuringError as error:
        raise _failed(console, error) from None
    try:
        append(file, rows)
        draw(plot, rows, f"dropout, p = {p:g}, on {name}")
    except (OSError, ValueError) as error:
        raise _failed(console, error) from None
    finally:
        _print(console, rows)
    show(console, f"rows appended to {file}, picture in {plot}")


def _failed(console: Console, error: Exception) -> typer.Exit:
    show(console, told(error), "red")
    return typer.Exit(2)


def _check_places(console: Console, file: Path, plot: Path) -> None:
    """Refuse, before the work, what can't hold its results."""
    from .bench_picture import FORMATS

    if plot.suffix.lower() not in FORMATS:
        raise typer.BadParameter(
            f"`plot` must end in {', '.join(FORMATS)}. Got {str(plot)!r}. Name a picture.", param_hint="--plot"
        )
    try:
        check_place(file)
        check_place(plot)
    except OSError as error:
        raise _failed(console, error) from None


def _device(text: str) -> torch.device:
    import torch

    kinds = [kind for kind in ("cuda", "xpu") if getattr(torch, kind).is_available()]
    if not text:
        return torch.device(kinds[0] if kinds else "cpu")
    try:
        device = torch.device(text)
        there = getattr(torch, device.type).device_count() if device.type in kinds else int(device.type == "cpu")
        if (device.index or 0) >= there:
            raise RuntimeError
    except RuntimeError:
        have = ", ".join((*kinds, "cpu"))
        raise typer.BadParameter(
            f"`device` must be one that this torch finds: {have}. Got {text!r}.", param_hint="--device"
        ) from None
    return device


def _type(name: str) -> torch.dtype:
    import torch

    from ..noise.kernel import TYPES

    found = getattr(torch, name.strip(), None)
    if not isinstance(found, torch.dtype) or str(found).removeprefix("torch.") not in TYPES:
        raise typer.BadParameter(
            f"`dtype` must be a floating-point type. Got {name!r}. Pass one of {', '.join(TYPES)}.",
            param_hint="--dtype",
        )
    return found


def _size(text: str) -> int:
    base, power, exponent = text.strip().partition("^")
    try:
        number, times = int(base), int(exponent) if power else 1
        size = number**times if 0 <= times <= 63 else 0
    except ValueError:
        size = 0
    if not 0 < size < 2**63:
        raise typer.BadParameter(
            f"`sizes` must be whole numbers above 0 and below 2^63, as 4096 or 2^20. Got {text!r}.",
            param_hint="--sizes",
        )
    return size


def _name(device: torch.device) -> str:
    """What the device calls itself."""
    import torch

    from .bench_timing import processor

    if device.type != "cpu":
        name: str = getattr(torch, device.type).get_device_name(device)
        return name
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}"
    return f"{processor()}, {threads}"


def _backend(device: torch.device) -> tuple[str, str]:
    """Who does our dropout there, and why nobody faster."""
    from ..noise.kernel import kernel
    from ..ops.triton.trust import reason_against

    if device.type == "cpu":
        return ("eager", kernel.reason) if kernel.run is None else (f"the kernel, {kernel.instruction_set}", "")
    reason = reason_against(device)
    return ("eager", reason) if reason else ("Triton", "")


def _print(console: Console, rows: Sequence[Row]) -> None:
    """A table for each type and pass, and bars of the last size, in copies."""
    from .bench_timing import CONTENDERS, OURS

    sizes = list(dict.fromkeys(row["elements"] for row in rows))
    for dtype, which in dict.fromkeys((row["dtype"], row["pass"]) for row in rows):
        found = {(row["what"], row["elements"]): row for row in rows if (row["dtype"], row["pass"]) == (dtype, which)}
        table = Table(title=f"{which}, {dtype}: ns an element", title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("")
        for size in sizes:
            table.add_column(_power(int(size)), justify="right")
        for what in CONTENDERS:
            table.add_row(what, *(found[what, size]["ns_per_element"] for size in sizes))
        faster = (f"{1 / float(found[OURS, size]['ratio_to_torch']):.3g}x" for size in sizes)
        table.add_row("ours against torch's", *faster, style="bold")
        console.print(table)
        copies = {what: float(found[what, sizes[-1]]["ratio_to_copy"]) for what in CONTENDERS}
        for what, number in copies.items():
            bar = "█" * max(1, round(_BAR * number / max(copies.values())))
            show(console, f"  {what:20s}{bar} {number:.3g}")
        show(console, f"  in copies, at {_power(int(sizes[-1]))} elements\n")


def _power(size: int) -> str:
    exponent = size.bit_length() - 1
    return f"2^{exponent}" if size == 2**exponent else str(size)
