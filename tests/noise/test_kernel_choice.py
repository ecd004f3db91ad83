"""Which kernel is used, and how it is said: THINNED_KERNEL, and an installation without the compiled module."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from thinned.noise.kernel import VARIABLE, instruction_sets, missing, module

# Masks of several forms by a digest, from layers and from the NumPy door. Warnings go to stderr as they are shown.
DIGEST = """
import hashlib, torch, thinned, numpy
from thinned.noise import drop
from thinned.noise.kernel import kernel
torch.set_num_threads(1)
torch.manual_seed(3)
found = hashlib.sha256()
for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
    x = torch.ones(5, 70, 33, dtype=dtype, requires_grad=True)
    for layer in (thinned.nn.Dropout(0.3), thinned.nn.Dropout1d(0.5), thinned.nn.AlphaDropout(0.2)):
        y = layer(x)
        y.float().sum().backward()
        found.update(y.detach().double().numpy().tobytes() + x.grad.double().numpy().tobytes())
found.update(drop(numpy.ones(1000, numpy.float32), 0.3, key=4).tobytes())
print(kernel.instruction_set, found.hexdigest())
"""
# What an import finds where nothing was compiled.
WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "thinned._kernel":
            raise ModuleNotFoundError("No module named 'thinned._kernel'", name=name)
sys.meta_path.insert(0, Refuse())
"""


def python(code: str, choice: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "PYTHONWARNINGS")}
    if choice is not None:
        environment[VARIABLE] = choice
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def reference() -> str:
    """The digest of the eager backend, which the variable asks for in silence."""
    run = python(DIGEST, "off")
    assert (run.returncode, run.stderr) == (0, "")
    name, digest = run.stdout.split()
    assert name == "None"
    return digest


@pytest.mark.long
@pytest.mark.skipif(module is None, reason=f"no compiled kernel: {missing}")
@pytest.mark.parametrize(
    "choice", [None, *(pytest.param(name, marks=pytest.mark.long) for name in ("", *instruction_sets))]
)
def test_every_choice_gives_the_same_masks(choice: str | None, reference: str) -> None:
    run = python(DIGEST, choice)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == [choice or instruction_sets[0], reference]


@pytest.mark.long
def test_without_the_module_one_warning_and_the_same_masks(reference: str) -> None:
    run = python(WITHOUT + DIGEST)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["None", reference]
    assert run.stderr.count("RuntimeWarning") == 1
    assert "the compiled CPU kernel is not used: it was not built with this installation" in run.stderr
    assert "reinstall thinned; `thinned doctor` tells more" in run.stderr


@pytest.mark.long
def test_without_the_module_importing_is_silent() -> None:
    run = python(WITHOUT + "import thinned.nn, thinned.noise")
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.long
def test_without_the_module_off_is_silent() -> None:
    run = python(WITHOUT + DIGEST, "off")
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.long
@pytest.mark.parametrize("choice", ["avx1024", *(pytest.param(name, marks=pytest.mark.long) for name in ("AVX2", "0"))])
def test_a_wrong_name_is_one_clear_error(choice: str) -> None:
    run = python("import thinned.nn", choice)
    assert run.returncode == 1
    have = ", ".join((*instruction_sets, "off"))
    message = f"`{VARIABLE}` must be one of those that this machine and build have: {have}. Got {choice!r}. Unset it"
    assert f"ValueError: {message}" in run.stderr


@pytest.mark.long
@pytest.mark.skipif(module is None, reason=f"no compiled kernel: {missing}")
def test_a_choice_that_was_not_built_is_the_same_error() -> None:
    run = python(WITHOUT + "import thinned.nn", instruction_sets[0])
    assert f"must be one of those that this machine and build have: off. Got {instruction_sets[0]!r}" in run.stderr


@pytest.mark.long
@pytest.mark.skipif(module is None or not sys.platform.startswith("linux"), reason="the pool is looked for on Linux")
def test_the_threads_are_torchs_as_soon_as_it_is_there() -> None:
    run = python("import thinned._kernel as k; print(k.pool()); import torch; print(k.pool())")
    assert run.stdout.split() == ["none", "openmp"]
