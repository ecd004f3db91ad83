"""`--device`: what is refused by name, in an instant and without torch; and which device a study takes by itself.

What another device computes is asked in `tests/device/study.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from thinned.cli.app import app
from thinned.study import StudyError, load
from thinned.study.networks import device
from thinned.study.networks.device import check_device, chosen_device, usable_device


def test_a_torch_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device, "version", lambda name: "2.13.0+cpu")
    for command in (["study", "--out", str(tmp_path / "out")], ["predict", str(tmp_path), str(tmp_path)]):
        result = CliRunner().invoke(app, [*command, "--device", "cuda:1"])
        assert result.exit_code == 2
        assert "`--device cuda:1`: this torch, 2.13.0+cpu, is built for the CPU alone. Install" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drivers are looked for on Linux")
def test_a_machine_without_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "version", lambda name: "2.13.0+cu130")
    monkeypatch.setattr(device, "_DRIVERS", ("/dev/no-such-driver",))
    with pytest.raises(StudyError, match="`--device cuda`: this machine shows no GPU: there is none of /dev/no-such"):
        check_device("cuda")


@pytest.mark.parametrize("name", ["gpu 0", "Cuda", "", "cuda:x"])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(StudyError, match="`--device` must be auto, cpu, or a device of torch"):
        check_device(name)


def test_a_device_that_torch_can_t_use_is_refused_with_torch_s_reason(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="`--device gpu`: torch can't use it: Expected one of cpu, cuda"):
        usable_device("gpu")
    with pytest.raises(StudyError, match="`--device gpu`"):
        load(tmp_path, device="gpu")
    with pytest.raises(StudyError, match="`--device meta`: torch can't use it"):
        usable_device("meta")


def test_a_gpu_is_taken_for_large_networks_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = device.LARGE, device.LARGE - 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert {chosen_device(name, large) for name in (None, "auto", "cpu")} == {"cpu"}
    assert usable_device("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert {chosen_device(name, large) for name in (None, "auto")} == {"cuda"}
    assert {chosen_device(name, small) for name in (None, "auto", "cpu")} == {"cpu"}
    assert chosen_device("cpu", large) == "cpu"
    assert usable_device("auto") == "cuda"


def test_the_refusal_needs_no_torch() -> None:
    use = "from thinned.study.networks.device import check_device; check_device('cpu')"
    code = f"import sys; {use}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas"} & set(done.stdout.split())
