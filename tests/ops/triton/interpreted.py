"""The kernels in Triton's interpreter, on the CPU: the same source, run by NumPy."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

pytest.importorskip("triton", "3.7", reason="needs Triton 3.7 or newer, which is for Linux")

import triton.language as tl
from triton import knobs
from triton.runtime import interpreter

from thinned.ops import gpu
from thinned.ops.triton import kernels, launch, trust

CPU = torch.device("cpu")


@cache
def _copy() -> ModuleType:
    """The kernels' file once more, under another name: what is decorated for the interpreter can't be compiled."""
    spec = importlib.util.spec_from_file_location("interpreted_kernels", kernels.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with knobs.runtime.scope():
        knobs.runtime.interpret = True
        spec.loader.exec_module(module)
    return module


_cast = interpreter.InterpreterBuilder.cast_impl


def _rounded(builder: Any, source: Any, wanted: Any) -> Any:
    """The interpreter's cast, but to bfloat16 rounded to the nearest as by a GPU: the interpreter's own truncates."""
    types = (source.dtype.scalar, wanted.scalar)
    if types == (tl.float32, tl.bfloat16):
        data = torch.from_numpy(np.ascontiguousarray(source.data)).to(torch.bfloat16).view(torch.uint16).numpy()
    elif types == (tl.bfloat16, tl.float32):
        data = torch.from_numpy(np.ascontiguousarray(source.data)).view(torch.bfloat16).float().numpy()
    else:
        return _cast(builder, source, wanted)
    return interpreter.TensorHandle(data.reshape(source.data.shape), wanted.scalar)


@contextmanager
def kernels_interpreted() -> Iterator[None]:
    """Inside the `with`, launches run in the interpreter, and the CPU is a device of the GPU backend."""
    forms = {name: getattr(_copy(), name) for name in ("run", "axes")}
    with (
        patch.object(launch, "_FORMS", forms),
        patch.object(launch, "_compiled", {}),
        patch.object(interpreter.InterpreterBuilder, "cast_impl", _rounded),
        patch.object(trust, "DEVICES", {"cpu"}),
        patch.object(trust, "_reasons", {CPU: ""}),
        patch.object(gpu, "_plain_keys", set()),
        patch.object(gpu, "_learnt", set()),
        patch.object(gpu, "_ready", {}),
        np.errstate(all="ignore"),
    ):
        yield
