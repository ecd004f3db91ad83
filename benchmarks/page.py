"""The tables of docs/design/performance.md, from the last run in benchmarks/results.

python -m benchmarks.page            # writes them between the page's markers
python -m benchmarks.page --check    # only says whether they are up to date: exit status 1 if not
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from . import dropout, gpu, predict, training
from .contenders import BOTH, CLONE, COPY, FORWARD, ORDER, OURS, TORCH
from .dropout import ACTIVATION, ACTIVATION_SIZE
from .harness import Row, last_run
from .reach import verdicts

PAGE = Path(__file__).parents[1] / "docs" / "design" / "performance.md"
NOTHING = "No run is recorded yet."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def environment(row: Row) -> str:
    return f"{row['date']} UTC; {row['cpu']}; kernel on {row['instruction_set']}; torch {row['torch']}."


def tensors(rows: Sequence[Row]) -> str:
    """One table for each pass, type and number of threads."""
    if not rows:
        return NOTHING
    parts = [environment(next(row for row in rows if row["what"] == COPY))]
    sizes = sorted({int(row["elements"]) for row in rows})
    for which, dtype, threads in itertools.product((FORWARD, BOTH), ("float32", "bfloat16"), ("1", "2")):
        chosen = [row for row in rows if (row["pass"], row["dtype"], row["threads"]) == (which, dtype, threads)]
        if chosen:
            title = f"**{which}, {dtype}, {threads} thread{'s' * (threads != '1')}**, ns/element"
            parts.append(f"{title}\n\n{table(['', *map(_size, sizes)], _lines(chosen, sizes))}")
    return "\n\n".join(parts)


def cards(rows: Sequence[Row]) -> str:
    """One table for each pass and type, of the last run on a GPU."""
    if not rows:
        return NOTHING
    row = rows[0]
    parts = [f"{row['date']} UTC; {row['gpu']}, in a machine with {row['cpu']}; torch {row['torch']}."]
    sizes = sorted({int(row["elements"]) for row in rows})
    for which, dtype in itertools.product((FORWARD, BOTH), ("float32", "bfloat16")):
        chosen = [row for row in rows if (row["pass"], row["dtype"]) == (which, dtype)]
        if chosen:
            lines = itertools.chain(_lines(chosen, sizes), _over_copy(chosen, sizes))
            parts.append(f"**{which}, {dtype}**, ns/element\n\n{table(['', *map(_size, sizes)], lines)}")
    return "\n\n".join(parts)


def _over_copy(rows: Sequence[Row], sizes: Sequence[int]) -> Iterable[list[str]]:
    """How many copies torch's dropout takes, which is what a kernel for the card has to beat."""
    cells = {(row["p"], int(row["elements"])): row for row in rows if row["what"] == TORCH}
    for p in dict.fromkeys(row["p"] for row in rows):
        found = [cells.get((p, size)) for size in sizes]
        copies = ["" if row is None else f"{float(row['ratio_to_copy']):.3g}" for row in found]
        yield [f"**{TORCH}, in copies, p = {p}**", *copies]


def _lines(rows: Sequence[Row], sizes: Sequence[int]) -> Iterable[list[str]]:
    """A line for each contender and p; then how many times faster ours is."""
    cells = {(row["what"], row["p"], int(row["elements"])): row for row in rows}
    rates = list(dict.fromkeys(row["p"] for row in rows))
    names = dict.fromkeys(row["what"] for row in rows)
    for what in sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER)):
        plain = what in (COPY, CLONE)  # knows no p: the first rate's run stands for all
        for p in rates[:1] if plain else rates:
            found = [cells.get((what, p, size)) for size in sizes]
            name = f"`{what}`" if plain else f"{what}, p = {p}"
            yield [name, *("" if row is None else f"{float(row['ns_per_element']):.3g}" for row in found)]
    for p in rates:
        ours = [cells.get((OURS, p, size)) for size in sizes]
        faster = ["" if row is None else f"{1 / float(row['ratio_to_torch']):.3g}x" for row in ours]
        yield [f"**{OURS} against {TORCH}, p = {p}**", *faster]


def _size(elements: int) -> str:
    if elements == ACTIVATION_SIZE:
        return str(list(ACTIVATION))
    power = elements.bit_length() - 1
    return f"2^{power}" if elements == 2**power else str(elements)


def shares(rows: Sequence[Row]) -> str:
    """A line a model."""
    if not rows:
        return NOTHING
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        found = {row["dropout"]: row for row in rows if row["model"] == model}
        step, theirs, ours = found[training.NONE], found[TORCH], found[OURS]
        percent = (f"{row['ms_per_step']} ms ({float(row['share']):.1%})" for row in (theirs, ours))
        lines.append([model, f"{step['ms_per_step']} ms", *percent])
    head = ["a training step", "without dropout", f"`{TORCH}` (share)", f"`{OURS}` (share)"]
    return f"{environment(rows[0])} {rows[0]['threads']} threads.\n\n{table(head, lines)}"


def samples(rows: Sequence[Row]) -> str:
    """One table for each number of threads: milliseconds, and how many times faster than the loop."""
    if not rows:
        return NOTHING
    parts = [environment(rows[0])]
    names = list(dict.fromkeys(row["what"] for row in rows))
    for threads in dict.fromkeys(row["threads"] for row in rows):
        lines = []
        for place in dict.fromkeys((row["model"], row["batch"]) for row in rows):
            found = {
                row["what"]: row for row in rows if (row["model"], row["batch"], row["threads"]) == (*place, threads)
            }
            cells = [
                "" if (row := found.get(name)) is None else f"{row['ms']} ms ({row['faster_than_loop']}x)"
                for name in names
            ]
            lines.append([*place, *cells])
        title = f"**{threads} thread{'s' * (threads != '1')}**, 50 samples"
        parts.append(f"{title}\n\n{table(['model', 'rows', *names], lines)}")
    return "\n\n".join(parts)


def reached(rows: Sequence[Row], steps: Sequence[Row]) -> str:
    if not rows and not steps:
        return NOTHING
    return table(["what", "goal", "worst figure", ""], verdicts(rows, steps))


def filled(text: str, blocks: dict[str, str], writer: str = "benchmarks.page") -> str:
    """The page with each block between its markers, which name the module that writes it.

    Raises:
        ValueError: a block has no markers in the page.
    """
    for name, block in blocks.items():
        begin, end = f"<!-- {name}: written by python -m {writer} -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"the page must have a place for `{name}`. Got none. Add the lines {begin} and {end}.")
        text = pattern.sub(_constant(f"{begin}\n\n{block}\n\n{end}"), text)
    return text


def _constant(text: str) -> Callable[[object], str]:
    """A replacement in which no character has a meaning."""
    return lambda match: text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--csv", type=Path, default=dropout.FILE, help="the rows of benchmarks.dropout")
    parser.add_argument("--training", type=Path, default=training.FILE, help="the rows of benchmarks.training")
    parser.add_argument("--gpu", type=Path, default=gpu.FILE, help="the rows of benchmarks.gpu")
    parser.add_argument("--predict", type=Path, default=predict.FILE, help="the rows of benchmarks.predict")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    rows, steps = last_run(options.csv), last_run(options.training)
    blocks = {"tensors": tensors(rows), "training": shares(steps), "gpu": cards(last_run(options.gpu))}
    blocks["predict"] = samples(last_run(options.predict))
    blocks["goals"] = reached(rows, steps)
    text = options.page.read_text(encoding="utf-8")
    wanted = filled(text, blocks)
    if not options.check:
        options.page.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        sys.exit(f"{options.page} is not what the last run says. Call: python -m benchmarks.page")


if __name__ == "__main__":
    main()
