"""With a C++ compiler at hand the kernel was built: an installation without it works, so nothing else would tell."""

from __future__ import annotations

import shutil

import pytest

from thinned.noise.kernel import missing, module


def test_the_kernel_was_built() -> None:
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("needs a C++ compiler")
    assert module is not None, missing
