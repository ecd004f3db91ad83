"""What a wheel says of itself, and its kernel, in the environment that it was installed into. NumPy is enough.

Run by `make dist`, from the root of the repository: python -m tests.dist.kernel WHEEL SDIST
"""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
from tests.vectors import read

import thinned.noise
from thinned.noise import kernel as loader

Check = Callable[[], None]
COMPILERS = ("c++", "g++", "clang++", "cc", "gcc", "clang")
KERNEL = "thinned/_kernel.abi3.so"
# All that the source distribution has beside src/thinned.
BESIDE = {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.ko.md", "README.md", "pyproject.toml", "tests/vectors"}
NEEDED = {"LICENSE", "README.md", "pyproject.toml", "src/thinned/csrc/CMakeLists.txt", "src/thinned/py.typed"}


def checks(wheel: Path, sdist: Path) -> Iterator[Check]:
    """Every check of this file, in the order of what a failure would explain."""

    def no_compiler_is_in_reach() -> None:
        assert not (found := [name for name in COMPILERS if shutil.which(name)]), found

    def the_wheel_is_of_the_stable_abi_and_of_manylinux() -> None:
        *_, python, abi, platforms = wheel.stem.split("-")
        assert (python, abi) == ("cp311", "abi3"), wheel.name
        assert all(re.fullmatch(r"manylinux(_2_|20)\d+_\w+", platform) for platform in platforms.split(".")), wheel.name
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/WHEEL")]
            tags = re.findall(r"^Tag: (.+)", archive.read(name).decode(), re.MULTILINE)
        assert set(tags) == {f"{python}-{abi}-{platform}" for platform in platforms.split(".")}, tags

    def the_wheel_has_the_package_and_nothing_else() -> None:
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        inside = re.sub(r"-cp311.*", ".dist-info", wheel.name)
        assert {KERNEL, "thinned/py.typed", f"{inside}/licenses/LICENSE"} <= names
        others = {name for name in names if not name.startswith((f"{inside}/", "thinned/"))}
        sources = {name for name in names if "csrc" in name or "__pycache__" in name}
        assert not others | sources, others | sources

    def the_sdist_has_what_a_build_needs_and_the_vectors() -> None:
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        assert names >= NEEDED, NEEDED - names
        vectors = {f"tests/vectors/{path.name}" for path in read.HERE.glob("*.*")}
        assert names >= vectors, vectors - names
        compiled = {name for name in names if name.endswith((".pyc", ".so", "__pycache__"))}
        beside = {name for name in names if not name.startswith("src/thinned/")}
        assert not (junk := compiled | beside - BESIDE - vectors), junk

    def the_package_is_the_wheels_and_not_the_source_tree() -> None:
        here = Path(thinned.noise.__file__).parents[1]
        assert here.is_relative_to(sys.prefix), f"{here} is not below {sys.prefix}"
        assert distribution("thinned").version == wheel.name.split("-")[1]
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith("thinned/") and not name.endswith("/"):
                    assert (here.parent / name).read_bytes() == archive.read(name), f"{name} is another file"

    def the_kernel_is_loaded_and_is_the_wheels() -> None:
        assert loader.module is not None, loader.missing
        assert loader.kernel.run is not None, loader.kernel.reason
        assert Path(loader.module.__file__).is_relative_to(sys.prefix), loader.module.__file__
        assert Path(loader.module.__file__).name == Path(KERNEL).name

    def numpy_masks_of_every_instruction_set_are_the_contracts() -> None:
        fastest = loader.kernel.run
        for name in loader.instruction_sets:
            runs = Counted(loader.Kernel(name).run)
            loader.kernel.run = runs
            for case in read.masks():
                y = thinned.noise.drop(np.ones(case.shape, np.float32), case.p, key=case.key, **case.block)
                assert case.agrees(y != 0), f"{name}: {case}"
                assert set(np.unique(y).tolist()) <= {0.0, case.scale}, f"{name}: {case}"
            assert runs.count > 0, f"{name} has drawn nothing"
        loader.kernel.run = fastest

    yield no_compiler_is_in_reach
    yield the_wheel_is_of_the_stable_abi_and_of_manylinux
    yield the_wheel_has_the_package_and_nothing_else
    yield the_sdist_has_what_a_build_needs_and_the_vectors
    yield the_package_is_the_wheels_and_not_the_source_tree
    yield the_kernel_is_loaded_and_is_the_wheels
    yield numpy_masks_of_every_instruction_set_are_the_contracts


class Counted:
    """A function of a kernel's that counts its calls: whether the compiled code did the work."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run
        self.count = 0

    def __call__(self, *arguments: object) -> Any:
        self.count += 1
        return self.run(*arguments)


def run(found: Iterator[Check]) -> None:
    """Run checks in turn, each with its name; the first that fails ends the program."""
    for check in found:
        print(f"  {check.__name__.replace('_', ' ')}", flush=True)
        check()


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}:")
    run(checks(*map(Path, sys.argv[1:])))
