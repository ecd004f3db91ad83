"""torchvision comes with the first who asks for it, whatever torch it was built for, and leaves torch as it was."""

from __future__ import annotations

import subprocess
import sys


def output_of(script: str) -> str:
    run = [sys.executable, "-W", "error", "-c", f"from tests.zoo import imports\nimports.prepare()\n{script}"]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    script = "import sys; print({'torch', 'torchvision', 'timm', 'transformers', 'lightning'} & {*sys.modules})"
    assert output_of(script) == "set()\n"


def test_torchvision_is_imported_and_torch_is_as_before() -> None:
    script = """
import importlib.util, sys, torch
before = torch.library.register_fake
assert importlib.util.find_spec("torchvision")
import timm, torchvision.models
print(torch.library.register_fake is before, any(isinstance(finder, imports.Torchvision) for finder in sys.meta_path))
"""
    assert output_of(script) == "True False\n"


def test_a_study_in_the_same_environment_does_not_meet_torchvision() -> None:
    script = "import sys, thinned.study.answer.calibration; print('torchvision' in sys.modules)"
    run = [sys.executable, "-c", script]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "False\n"
