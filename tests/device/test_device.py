"""What the tests of a second device say, in processes of their own: torch would know that device in this one for good.

No GPU is asked for: the device is `twin.cpp`, whose memory is the CPU's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.device import twin

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(twin.COMPILER is None, reason="no C++ compiler"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the second device is built for Linux"),
]


@pytest.mark.parametrize("file", ["strict.py", "masks.py", "samples.py", "tools.py", "default.py", "study.py"])
def test_on_a_second_device(file: str) -> None:
    twin.built()
    command = [
        sys.executable,
        "-m",
        "tests.device.twin",
        "-v",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        str(HERE / file),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
