"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer, compiled with warnings as errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import by_chance

from thinned.noise.kernel import instruction_sets

SOURCE = Path(__file__).parents[2] / "src" / "thinned" / "csrc"
CMAKE = shutil.which("cmake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
COMPILER = shutil.which(os.environ.get("CXX", "c++"))

pytestmark = [
    pytest.mark.skipif(CMAKE is None, reason="no cmake: pip install cmake"),
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sanitizers' flags are those of gcc and clang"),
]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """check.cpp, built in a folder of its own."""
    build = tmp_path_factory.mktemp("sanitized")
    options = ["-DTHINNED_MODULE=OFF", "-DTHINNED_SANITIZE=ON", "-DTHINNED_STRICT=ON"]
    commands: list[list[str | Path]] = [["-S", SOURCE, "-B", build, *options], ["--build", build]]
    for command in commands:
        done = subprocess.run([str(CMAKE), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "check"


def test_random_jobs_stay_in_their_memory_and_agree(check: Path) -> None:
    done = subprocess.run([check, "400"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for name in instruction_sets:
        assert f"{name}: 400 jobs agree" in done.stdout


def test_calls_by_chance_through_the_operators_and_functions(tmp_path: Path) -> None:
    """The module of the package, built under the sanitizers, in a Python that has their library loaded first."""
    options = ["-DTHINNED_MODULE=ON", "-DTHINNED_SANITIZE=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    commands: list[list[str | Path]] = [
        ["-S", SOURCE, "-B", tmp_path, *options],
        ["--build", tmp_path, "--target", "_kernel"],
    ]
    for command in commands:
        done = subprocess.run([str(CMAKE), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    (module,) = tmp_path.glob("_kernel*.so")
    first = []  # the sanitizer sees exceptions only of a C++ library that is loaded with it
    for name in ("libasan.so", "libstdc++.so"):
        found = subprocess.run([str(COMPILER), f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        first.append(found.stdout.strip())
    environment = {**os.environ, "LD_PRELOAD": " ".join(first), "ASAN_OPTIONS": "detect_leaks=0"}
    calls, seed = 1500 * by_chance.times, str(by_chance.times - 1)
    command = [sys.executable, "-m", "tests.csrc.fuzz", "--kernel", str(module), "--calls", f"{calls}", "--seed", seed]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{3 * calls} calls")


def test_the_sanitizers_are_on(check: Path) -> None:
    symbols = check.read_bytes()
    assert b"__asan_init" in symbols
    assert b"__ubsan_handle" in symbols
