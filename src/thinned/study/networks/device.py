"""Where networks are trained and answer: what `--device` names, or a GPU for large networks where there is one.

Rows, first weights, orders and masks are the CPU's on every device. Sums are rounded in another order there, so figures
differ in the last digits at first, and more the longer a training is: a study's folder belongs to one device.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..error import StudyError

AUTO, CPU = "auto", "cpu"
LONGEST = 200  # letters of torch's reason
LARGE = 1_000_000  # weights: below it the calls of a step, not its sums, are most of the time on a GPU
_NAME = re.compile(r"[a-z]+(:\d+)?")
_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's, that of Windows' Linux, AMD's


def check_device(name: str) -> None:
    """What can be said of a device without torch. Raises StudyError: no device's name, or no GPU for `cuda`."""
    if not _NAME.fullmatch(name) and name != AUTO:
        raise StudyError(f"`--device` must be auto, cpu, or a device of torch, as cuda, cuda:1 or mps. Got {name!r}.")
    if name.split(":")[0] != "cuda":
        return
    try:
        torch = version("torch")
    except PackageNotFoundError:
        return
    if torch.endswith("+cpu"):
        raise StudyError(
            f"`--device {name}`: this torch, {torch}, is built for the CPU alone. Install a torch with CUDA "
            "(https://pytorch.org/get-started), or leave --device out."
        )
    if sys.platform.startswith("linux") and not any(Path(driver).exists() for driver in _DRIVERS):
        raise StudyError(
            f"`--device {name}`: this machine shows no GPU: there is none of {', '.join(_DRIVERS)}. Install its "
            "driver, run where a GPU is, or leave --device out."
        )


def chosen_device(name: str | None, weights: int) -> str:
    """The device that a study trains on, by torch's name.

    Arguments:
        name: what was asked for; None or "auto" is a GPU for networks of a million weights or more, else the CPU.
        weights: of a network.

    Raises StudyError: the device can't be used.
    """
    import torch

    if name in (None, AUTO):
        return "cuda" if weights >= LARGE and torch.cuda.is_available() else CPU
    assert name is not None
    return usable_device(name)


def usable_device(name: str) -> str:
    """The name of a device that can be used; "auto" is a GPU where there is one. Raises StudyError: it can't be."""
    import torch

    if name == AUTO:
        return "cuda" if torch.cuda.is_available() else CPU
    if name == CPU:
        return name
    try:
        torch.ones(1, device=name).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = f"{error}".split("\n")[0].split(". ")[0].removesuffix(".")[:LONGEST] or type(error).__name__
        raise StudyError(
            f"`--device {name}`: torch can't use it: {reason}. Name another device, or leave --device out."
        ) from error
    return name
