"""The device of `twin.cpp` as torch's device "twin": build it, and make it known to this process, for good.

As a program it runs pytest where the device is: `python -m tests.device.twin tests/device/samples.py -v`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch.utils.backend_registration import generate_methods_for_privateuse1_backend, rename_privateuse1_backend

SOURCE = Path(__file__).with_name("twin.cpp")
BUILD = Path(__file__).parents[2] / "build" / "twin"
TORCH = Path(torch.__file__).parent
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
FLAGS = ["-std=c++20", "-O1", "-fPIC", "-shared", "-isystem", f"{TORCH}/include", f"-L{TORCH}/lib"]
LIBRARIES = ["-ltorch_cpu", "-lc10"]


def built() -> Path:
    """The compiled device: a file for each source, torch and compiler, made by the first process that asks."""
    assert COMPILER is not None
    recipe = f"{SOURCE.read_text()}{torch.__version__}{COMPILER}{FLAGS}"
    library = BUILD / f"{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.so"
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            part = library.with_suffix(".part")
            command = [COMPILER, *FLAGS, str(SOURCE), "-o", str(part), *LIBRARIES]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{SOURCE.name} does not compile:\n{done.stderr}")
            part.rename(library)
    return library


def register() -> None:
    """Give this process the device, with what torch asks of a device's module."""
    torch.ops.load_library(built())
    generator: torch.Generator = torch.ops.twin.default_generator()
    module = types.ModuleType("torch.twin")
    functions = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "_is_in_bad_fork": lambda: False,
        "manual_seed": generator.manual_seed,
        "manual_seed_all": generator.manual_seed,
        "get_rng_state": lambda device=0: generator.get_state(),
        "set_rng_state": lambda state, device=0: generator.set_state(state),
        "get_amp_supported_dtype": lambda: [torch.bfloat16, torch.float16],
    }
    for name, function in functions.items():
        setattr(module, name, function)
    rename_privateuse1_backend("twin")
    torch._register_device_module("twin", module)
    generate_methods_for_privateuse1_backend()


if __name__ == "__main__":
    register()
    sys.exit(pytest.main(sys.argv[1:]))
