"""Triton in a process that has TensorFlow: both bring LLVM, and the one that comes second can crash the process."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec


def load_triton() -> None:
    """Load Triton with its own symbols first, if TensorFlow is here and Triton is not yet.

    `import torch._dynamo`, behind many functions of this package, would load it without.
    """
    if "tensorflow" not in sys.modules or "triton" in sys.modules or find_spec("triton") is None:
        return
    before = sys.getdlopenflags()
    sys.setdlopenflags(before | os.RTLD_DEEPBIND)
    try:
        importlib.import_module("triton")
    finally:
        sys.setdlopenflags(before)
