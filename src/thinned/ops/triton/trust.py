"""Whether the kernels are used on a device: they are once a block of noise there has had the CPU's bits.

The first call on a device compiles a kernel, runs it on a few thousand values and reads them back, which waits for the
device once. Where there is no Triton, or a bit is wrong, the eager backend takes its place and says so once.
"""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

import torch

from .. import eager
from .arrange import DROP

VARIABLE = "THINNED_TRITON"
OFF = "off"
DEVICES = {"cuda", "xpu"}  # "cuda" is ROCm's name, too

_LAW = (19661, 65536 / (65536 - 19661), 0.0, 0.0)
_KEY, _BASE, _COUNT = 0x9E3779B97F4A7C15, 2**35 - 1232, 4099  # more than a program's, and the end is no whole block
_TYPES = (torch.float32, torch.bfloat16)

_reasons: dict[torch.device, str] = {}  # why the kernels are not used; empty where they are


def trusted(device: torch.device) -> bool:
    """Whether the kernels are used on this device. The first time it is found out, and what is wrong is said."""
    reason = _reasons.get(device)
    if reason is None:
        if capturing(device):
            # Reading values back would end the recording. A later call outside of a recording finds it out.
            return False
        reason = _reasons[device] = reason_against(device)
        if reason and os.environ.get(VARIABLE) != OFF:  # whoever switched them off knows
            warnings.warn(
                f"thinned: the Triton kernels are not used on {device}: {reason}. Masks are the same, and a call takes "
                "50 times as long. `thinned doctor` tells more.",
                RuntimeWarning,
                stacklevel=3,
            )
    return not reason


def reason_against(device: torch.device) -> str:
    """Why the kernels can't be used on this device, or nothing."""
    if os.environ.get(VARIABLE) == OFF:
        return f"{VARIABLE}={OFF}"
    if device.type not in DEVICES:
        return f"they are for {' and '.join(sorted(DEVICES))}"
    if find_spec("triton") is None:
        return "Triton is not installed; torch's builds for GPUs on Linux bring it along"
    try:
        wrong = sum(_wrong(device, dtype) for dtype in _TYPES)
    except Exception as error:  # a driver, a compiler or a processor that Triton can't use
        return f"{type(error).__name__}: {error}"
    return f"{wrong} of {_COUNT * len(_TYPES)} values are not the CPU's" if wrong else ""


def _wrong(device: torch.device, dtype: torch.dtype) -> int:
    """How many of a few thousand values differ from the CPU's."""
    from .launch import noise_into  # needs Triton

    x = torch.linspace(-4, 4, _COUNT, device="cpu").to(dtype)
    expected = eager.drop(x, torch.tensor(_KEY - 2**64, device="cpu"), *_LAW, (1,), _BASE)
    there = x.to(device)
    found = torch.empty_like(there)
    with on(device):
        noise_into(found, there, None, _KEY, DROP, _LAW, (1,), _BASE)
    return int((found.cpu() != expected).sum())


def capturing(device: torch.device) -> bool:
    """Whether a CUDA graph is recorded: for a CUDA device, whichever, on the current stream of the current one."""
    return device.type == "cuda" and torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def on(device: torch.device) -> AbstractContextManager[object]:
    """A context in which kernels run on this device."""
    if device.type == "cuda":
        return torch.cuda.device(device)
    return torch.xpu.device(device) if device.type == "xpu" else nullcontext()
