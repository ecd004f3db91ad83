"""The compiled CPU kernel: whether it is here, which instruction set it uses, and why.

The kernel knows addresses, sizes and strides and nothing of any framework (`csrc/`). Without it, where no compiler was
found at installation, everything works in plain array arithmetic with the same bits, and says so once.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

VARIABLE = "THINNED_KERNEL"
OFF = "off"
DROP, ADD = range(2)  # the forms, as csrc/job.hpp numbers them
TYPES = {"float32": 0, "float64": 1, "bfloat16": 2, "float16": 3}

module: Any = None
missing = ""
try:
    module = import_module("thinned._kernel")
except ImportError as error:
    missing = f"it was not built with this installation ({error})"

# What this machine and build have, fastest first.
instruction_sets: tuple[str, ...] = module.instruction_sets() if module else ()


class Kernel:
    """The kernel as it is used: `run` (csrc/module.cpp lists its arguments) on one instruction set, or None and why.

    The others (csrc/call.hpp) are for torch's tensors; `ops/cpu.py` makes torch known to them.

    Arguments:
        choice: an instruction set by name, "off" for none, None for the fastest.

    Raises:
        ValueError: `choice` is not one that this machine and build have.

    >>> Kernel("off").run is None
    True
    """

    def __init__(self, choice: str | None = None) -> None:
        if choice not in (None, OFF, *instruction_sets):
            have = ", ".join((*instruction_sets, OFF))
            raise ValueError(
                f"`{VARIABLE}` must be one of those that this machine and build have: {have}. Got {choice!r}. "
                "Unset it for the fastest."
            )
        self.run: Any = None
        self.thin: Any = None
        self.plain: Callable[[object], bool] = _never
        self.able: Callable[[object], bool] = _never
        self.usual: Callable[..., Any] = _nothing
        self.usual_of_layer: Callable[..., Any] = _nothing
        self.instruction_set: str | None = None
        self.reason = f"{VARIABLE}={choice}" if choice else missing or "the fastest that this machine has"
        if module and choice != OFF:
            self.instruction_set = choice or instruction_sets[0]
            self.run = getattr(module, f"run_{self.instruction_set}")
            self.thin = getattr(module, f"thin_{self.instruction_set}")
            self.usual = getattr(module, f"usual_{self.instruction_set}")
            self.usual_of_layer = getattr(module, f"usual_of_layer_{self.instruction_set}")
            self.plain, self.able = module.plain, module.able


def _never(x: object) -> bool:
    return False


def _nothing(*arguments: object) -> None:
    return None


_choice = os.environ.get(VARIABLE) or None  # empty is unset
kernel = Kernel(_choice)
_announced = _choice == OFF  # whoever switched it off knows


def announce() -> None:
    """Say once that plain array arithmetic takes the kernel's place, and why."""
    global _announced
    if not _announced:
        _announced = True
        warnings.warn(
            f"thinned: the compiled CPU kernel is not used: {kernel.reason}. Masks are the same, 50 times slower. "
            "With a C++ compiler on the machine, reinstall thinned; `thinned doctor` tells more.",
            RuntimeWarning,
            stacklevel=3,
        )
