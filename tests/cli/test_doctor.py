"""`thinned doctor`: what it says is what runs, and a wrong bit is a wrong exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
from typer.testing import Result

from thinned import _torch
from thinned.cli import doctor
from thinned.noise import kernel as loader
from thinned.noise.kernel import VARIABLE, instruction_sets

Thinned = Callable[..., Result]
COMMAND = [sys.executable, "-c", "from thinned.cli import main; main()", "doctor"]
needs_kernel = pytest.mark.skipif(loader.module is None, reason=f"no compiled kernel: {loader.missing}")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def triton_version() -> str:
    try:
        return version("triton")
    except PackageNotFoundError:
        return "none"


def row(output: str, start: str) -> str:
    """The line that starts so, its columns one blank apart."""
    found = [" ".join(line.split()) for line in output.splitlines() if line.strip().startswith(start)]
    assert len(found) == 1, f"{start}: {found}"
    return found[0]


def test_says_what_is_here(thinned: Thinned) -> None:
    result = thinned("doctor")
    assert result.exit_code == 0, result.output
    assert row(result.output, "thinned") == f"thinned {version('thinned')} noise version 1"
    assert torch.__version__ in row(result.output, "NumPy, torch")
    assert row(result.output, "torch's private").startswith(f"torch's private names all {_torch.COUNT} there ")
    assert row(result.output, "CPU threads").startswith(f"CPU threads {torch.get_num_threads()} ")
    if not torch.cuda.is_available():
        assert row(result.output, "any type on a GPU").startswith("any type on a GPU not tried this torch finds no GPU")
    assert row(result.output, "Triton").startswith(f"Triton {triton_version()} ")
    assert row(result.output, "eager, cpu") == "eager, cpu ok"
    for name in instruction_sets:
        assert row(result.output, f"kernel, {name}") == f"kernel, {name} ok"


@needs_kernel
@pytest.mark.parametrize("choice", [None, *instruction_sets])
def test_says_what_is_used_and_why(thinned: Thinned, monkeypatch: pytest.MonkeyPatch, choice: str | None) -> None:
    monkeypatch.setattr(loader, "kernel", loader.Kernel(choice))
    output = thinned("doctor").output
    name = choice or instruction_sets[0]
    why = f"{VARIABLE}={choice}" if choice else "the fastest that this machine has"
    assert row(output, "in use") == f"in use {name} {why}"
    for kind in ("float32", "float64", "bfloat16", "float16"):
        assert row(output, f"{kind} on the CPU") == f"{kind} on the CPU kernel, {name} {why}"
    assert row(output, "complex64 on the CPU") == "complex64 on the CPU eager the kernel has no complex numbers"
    assert "the kernel uses torch's threads" in row(output, "CPU threads")


def test_says_what_this_torch_lacks(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of torch's, and an attribute of its modules."""
    monkeypatch.delattr(torch._C, "_current_graph_task_id")
    monkeypatch.setattr(torch.nn.RNNBase, "__dir__", lambda module: {*vars(module)} - {"_flat_weights_names"})
    result = thinned("doctor")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    at = next(number for number, line in enumerate(lines) if line.startswith("torch's private names"))
    assert lines[at : at + 2] == [
        f"torch's private names lacks 2 of {_torch.COUNT} stream: torch._C._current_graph_task_id, "
        "whether a backward pass runs, and which",
        "drop_connect, convert: a recurrent module: _flat_weights_names, their names, in that order",
    ]


@pytest.mark.long
def test_a_torch_that_lacks_what_every_layer_needs_is_told(tmp_path: Path) -> None:
    lacking = "import torch\ndel torch._C._dispatch_keys\n"
    command = [sys.executable, "-c", f"{lacking}from thinned.cli import main\nmain()", "doctor"]
    environment = os.environ | {"COLUMNS": "200"}
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "lacks 1 of" in row(run.stdout, "torch's private names")
    assert "failed `layers`: torch must have torch._C._dispatch_keys" in row(run.stdout, "eager")
    assert f"Got torch {torch.__version__}" in " ".join(run.stdout.split())
    assert "Traceback" not in run.stderr


def test_switched_off(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "kernel", loader.Kernel("off"))
    output = thinned("doctor").output
    assert row(output, "float32 on the CPU") == f"float32 on the CPU eager {VARIABLE}=off"
    assert row(output, "in use") == f"in use none {VARIABLE}=off"


def test_not_built(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "module", None)
    monkeypatch.setattr(loader, "missing", "it was not built with this installation")
    monkeypatch.setattr(loader, "instruction_sets", ())
    monkeypatch.setattr(loader, "kernel", loader.Kernel())
    result = thinned("doctor")
    assert result.exit_code == 0
    assert row(result.output, "CPU kernel") == "CPU kernel none it was not built with this installation"
    assert row(result.output, "float32 on") == "float32 on the CPU eager it was not built with this installation"
    assert row(result.output, "instruction sets").startswith("instruction sets none ")
    assert row(result.output, "eager, cpu") == "eager, cpu ok"
    assert "kernel, " not in result.output


def test_gpus_with_and_without_right_kernels(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices that stand in for GPUs: the kernels have the CPU's bits on one, and not on the other."""
    wrong = "1 of 8198 values are not the CPU's"
    monkeypatch.setattr(doctor, "gpus", lambda: {"cuda:0": "", "cuda:1": wrong})
    output = thinned("doctor").output
    assert row(output, "float types on cuda:0").endswith("cuda:0 Triton a block of noise there has the CPU's bits")
    assert row(output, "complex types on cuda:0").endswith("cuda:0 eager the kernels have no complex numbers")
    assert row(output, "any type on cuda:1") == f"any type on cuda:1 eager {wrong}"


@needs_kernel
def test_a_wrong_bit_is_found(thinned: Thinned, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel with another key, and one that fails: both are told, and the exit code is 1."""
    honest = getattr(loader.module, f"run_{instruction_sets[-1]}")

    class Wrong:
        def __init__(self, name: str) -> None:
            self.run = self.with_another_key if name == instruction_sets[0] else self.failing

        def with_another_key(self, *arguments: object) -> None:
            honest(*arguments[:10], 1, *arguments[11:])

        def failing(self, *_: object) -> None:
            raise RuntimeError("illegal instruction")

    honest_kernel = loader.kernel
    monkeypatch.setattr(loader, "Kernel", Wrong)
    assert loader.kernel is honest_kernel
    result = thinned("doctor")
    assert result.exit_code == 1
    assert row(result.output, f"kernel, {instruction_sets[0]}").startswith(f"kernel, {instruction_sets[0]} WRONG ")
    assert "of 4000 differ" in result.output
    for name in instruction_sets[1:]:
        assert row(result.output, f"kernel, {name}").endswith("failed RuntimeError: illegal instruction")
    assert "Reinstall thinned." in result.output
    assert row(result.output, "eager, cpu") == "eager, cpu ok"


def test_a_wrong_choice_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    environment = os.environ | {VARIABLE: "avx1024", "COLUMNS": "200"}
    run = subprocess.run(COMMAND, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"`{VARIABLE}` must be one of" in run.stdout
    assert "Traceback" not in run.stderr
