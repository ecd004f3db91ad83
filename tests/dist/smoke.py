"""The smoke test of an installed wheel: its files, its kernel, its layers under torch, its command.

Run by `make dist`, from the root of the repository, in an environment that has the wheel and no compiler:
python -W error -m tests.dist.smoke WHEEL SDIST
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from tests.vectors import read

import thinned
from thinned.nn.variants import VARIANTS
from thinned.noise import kernel as loader

from .kernel import Check, Counted, checks, run

COMMAND = Path(sys.executable).parent / "thinned"
FAULTY = """\
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5)
"""


def thinned_says(*arguments: str, expected: int = 0) -> str:
    """What the installed command prints."""
    environment = {**os.environ, "COLUMNS": "200"}  # tables in one line a row
    done = subprocess.run([COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expected, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout


def torch_checks() -> Iterator[Check]:
    def torch_masks_are_the_contracts_and_the_kernels() -> None:
        fastest = loader.kernel.thin
        loader.kernel.thin = runs = Counted(fastest)
        for case in read.masks():
            y = thinned.ops.drop(torch.ones(case.shape), case.p, key=case.key, **case.block)
            assert case.agrees(y.numpy() != 0), str(case)
            assert set(y.unique().tolist()) <= {0.0, case.scale}, str(case)
        assert runs.count > 0, "the kernel has drawn nothing"
        loader.kernel.thin = fastest

    def a_layers_gradient_has_the_mask_of_its_output() -> None:
        fastest = loader.kernel.usual_of_layer
        loader.kernel.usual_of_layer = runs = Counted(fastest)
        torch.manual_seed(0)
        x = torch.rand(64, 100, requires_grad=True)
        layer = thinned.nn.Dropout(0.25)
        y = layer(x)
        y.sum().backward()
        loader.kernel.usual_of_layer = fastest
        assert runs.count == 1, "the forward is the kernel's"
        assert y.grad_fn.name() == "_UsualCallBackward", "the backward is the kernel's"
        assert x.grad is not None
        assert torch.equal(x.grad, torch.where(y != 0, torch.tensor(4 / 3), 0.0))
        assert 0 < int((y == 0).sum()) < y.numel()
        assert torch.equal(layer.eval()(x), x)

    def a_small_network_learns() -> None:
        torch.manual_seed(0)
        x = torch.rand(256, 8)
        target = x.sum(1, keepdim=True)
        net = torch.nn.Sequential(
            torch.nn.Linear(8, 64), torch.nn.ReLU(), thinned.nn.Dropout(0.1), torch.nn.Linear(64, 1)
        )
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        losses = []
        for _ in range(50):
            loss = torch.nn.functional.mse_loss(net(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 4, losses

    def doctor_finds_the_kernel_and_right_masks() -> None:
        lines = [" ".join(line.split()) for line in thinned_says("doctor").splitlines()]
        assert any(line.startswith("CPU kernel built") for line in lines), lines
        assert f"in use {loader.kernel.instruction_set} the fastest that this machine has" in lines, lines
        for name in loader.instruction_sets:
            assert f"kernel, {name} ok" in lines, lines

    def check_finds_the_fault_of_a_small_file() -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "net.py")
            file.write_text(FAULTY)
            said = thinned_says("check", str(file), "--output-format", "json", expected=1)
            assert "THN101" in said, said
            file.write_text(FAULTY.replace("x, 0.5", "x, 0.5, self.training"))
            thinned_says("check", str(file))

    def variants_lists_every_layer() -> None:
        said = thinned_says("variants")
        missing = [row.name for row in VARIANTS if row.name not in said]
        assert VARIANTS
        assert not missing, missing

    yield torch_masks_are_the_contracts_and_the_kernels
    yield a_layers_gradient_has_the_mask_of_its_output
    yield a_small_network_learns
    yield doctor_finds_the_kernel_and_right_masks
    yield check_finds_the_fault_of_a_small_file
    yield variants_lists_every_layer


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}:")
    run(itertools.chain(checks(*map(Path, sys.argv[1:])), torch_checks()))
