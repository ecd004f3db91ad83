"""What `thinned check` costs on large files, and what `--fix` costs: seconds by the number of dropouts or lines.

python -m benchmarks.check           # about half a minute; prints the table of docs/design/performance.md
python -m benchmarks.check --quick   # small files alone
"""

from __future__ import annotations

import argparse
import ast
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from thinned.cli.check import collected_later
from thinned.model.check.fix import mend
from thinned.model.check.walk import check_paths

HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n"
SIZES = (250, 500, 1_000, 2_000)
LINES = (10_000, 100_000)
GOALS = {
    "check": 3.0,
    "check --fix": 6.0,
    "check of clean lines": 3.0,
    "without a dropout": 3.0,
}  # seconds, of the largest


def dropouts(number: int) -> str:
    """A forward with so many dropouts that are not told the mode."""
    body = "        x = F.dropout(x, 0.5)\n" * number
    return f"{HEAD}class Net(nn.Module):\n    def forward(self, x):\n{body}        return x\n"


def clean(lines: int) -> str:
    """Modules of ten lines each, in which nothing is wrong, so many lines in all."""
    module = """\
class Block{number}(nn.Module):
    def __init__(self, width, p):
        super().__init__()
        self.first, self.second = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(p)

    def forward(self, x):
        hidden = F.gelu(self.first(x))
        return F.dropout(x + self.second(self.dropout(hidden)), 0.1, training=self.training)

"""
    return HEAD + "".join(module.format(number=number) for number in range(lines // 10))


def without(lines: int) -> str:
    """The same without a dropout."""
    return (
        clean(lines)
        .replace("nn.Dropout(p)", "nn.Identity()")
        .replace("self.dropout", "self.last")
        .replace(", 0.1, training=self.training)", ")")
        .replace("F.dropout(", "F.relu(")
    )


def seconds(work: Callable[[], object]) -> float:
    """Of processor time, of one call, as the command makes it."""
    start = time.process_time()
    with collected_later():
        work()
    return time.process_time() - start


def fixed(path: Path) -> None:
    """What the command does with `--fix`."""
    mend([path])
    check_paths([path])


def measured(path: Path, work: str, text: str) -> float:
    """Seconds of one kind of work on a file of this text."""
    path.write_text(text, encoding="utf-8")
    action: Callable[[Path], object] = fixed if work == "check --fix" else lambda file: check_paths([file])
    if work == "Python's parser alone":
        action = lambda _: ast.parse(text)  # noqa: E731 - what no check can do without
    return seconds(lambda: action(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small files alone")
    quick = parser.parse_args().quick
    sizes, lines = (SIZES[:2], LINES[:1]) if quick else (SIZES, LINES)
    alone = "Python's parser alone"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.py")
        measured(path, "check --fix", dropouts(2))  # what is loaded at the first time
        rows = [
            *(("check", f"{size:,} dropouts", measured(path, "check", dropouts(size))) for size in sizes),
            *(("check --fix", f"{size:,} dropouts", measured(path, "check --fix", dropouts(size))) for size in sizes),
            *(("check of clean lines", f"{size:,} lines", measured(path, "check", clean(size))) for size in lines),
            *(("without a dropout", f"{size:,} lines", measured(path, "check", without(size))) for size in lines),
            *((alone, f"{size:,} lines", measured(path, alone, clean(size))) for size in lines),
        ]
    print("| work | file | seconds | goal |\n|---|---|---|---|")
    for work, what, took in rows:
        largest = what in (f"{SIZES[-1]:,} dropouts", f"{LINES[-1]:,} lines")
        print(f"| {work} | {what} | {took:.2f} | {f'{GOALS[work]:g}' if largest and work in GOALS else ''} |")


if __name__ == "__main__":
    main()
