"""What training many networks as one batched model saves: a step of a stack, against a step of each by itself.

    python -m benchmarks.stack    # about 4 minutes; appends its rows to benchmarks/results/stack.csv

Both sides draw masks at p = 0.5 after each hidden layer, visit the same rows in the same order, and take the same AdamW
steps: `thinned.fit.stack.Stack` against `thinned.fit.loop.Loop`, a network each. One thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from thinned.fit.loop import Course, Loop
from thinned.fit.perceptron import Perceptron
from thinned.fit.stack import Member, Stack
from thinned.noise import fold_in

from .harness import RESULTS, machine, medians, record

FILE = RESULTS / "stack.csv"
LRS = (3e-4, 1e-3, 3e-3, 1e-2)
# Layers, training rows, rows a step, and how many networks side by side.
CASES = (
    ((13, 128, 128, 3), 178, 16, (1, 10, 20, 40)),
    ((784, 256, 256, 10), 1000, 50, (1, 4)),
)


def members(count: int) -> list[Member]:
    """As a study has them: seeds at each of up to four learning rates."""
    rates = LRS[: max(count // 5, 1)]
    return [
        Member(rows=0, key=number % (count // len(rates)), p=0.5, p_input=0.0, lr=lr, weight_decay=0.0)
        for number, lr in enumerate(sorted(rates * (count // len(rates))))
    ]


def together(chosen: list[Member], x: Tensor, y: Tensor, sizes: tuple[int, ...], batch: int) -> Callable[[], None]:
    """A step of the stack."""
    stack = Stack(chosen, x[None], y[None], sizes[-1], sizes[1:-1], batch)
    return lambda: stack.step(share=1.0)


def apart(chosen: list[Member], x: Tensor, y: Tensor, sizes: tuple[int, ...], batch: int) -> Callable[[], None]:
    """A step of each network by itself."""
    courses = [steps(member, x, y, sizes, batch) for member in chosen]

    def step() -> None:
        for course in courses:
            next(course)

    return step


def steps(member: Member, x: Tensor, y: Tensor, sizes: tuple[int, ...], batch: int) -> Iterator[object]:
    generator = torch.Generator().manual_seed(fold_in(member.key, 0))
    network = Perceptron(sizes[0], sizes[1:-1], sizes[-1], member.p, generator=generator)
    course = Course(
        lr=member.lr,
        lr_share=lambda step, steps: 1.0,
        weight_decay=member.weight_decay,
        batch=batch,
        epochs=10**9,
        order=fold_in(member.key, 1),
        masks=fold_in(member.key, 2),
    )
    loop = Loop(network, x, y, course)
    while True:
        yield from loop.epoch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each number of networks, about")
    parser.add_argument(
        "--csv", type=Path, default=FILE, help=f"where rows go; by default benchmarks/results/{FILE.name}"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = machine()
    print(*start.values(), "1 thread", sep=", ")
    rows = []
    for sizes, count, batch, numbers in CASES:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(count, sizes[0], generator=generator)
        y = torch.randint(sizes[-1], (count,), generator=generator)
        for number in numbers:
            work = (members(number), x, y, sizes, batch)
            found = medians({"stack": together(*work), "separate": apart(*work)}, seconds=options.seconds)
            shape, ratio = "-".join(map(str, sizes)), f"{found['separate'] / found['stack']:.4g}"
            rows.append(
                {
                    **start,
                    "network": shape,
                    "networks": str(number),
                    "stack_us": f"{1e6 * found['stack']:.4g}",
                    "separate_us": f"{1e6 * found['separate']:.4g}",
                    "ratio": ratio,
                }
            )
            print(f"{shape:18s} {number:3d} networks: {1e6 * found['stack']:8.0f} us a step together, ", end="")
            print(f"{1e6 * found['separate']:8.0f} us apart, {ratio} times as fast", flush=True)
    record(options.csv, rows)


if __name__ == "__main__":
    main()
