"""The kernels serve a device where its bits are the CPU's; elsewhere the eager backend does, and says so once.

The CPU stands in for a GPU, and Triton's interpreter for its compiler.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.ops.triton.interpreted import CPU, kernels_interpreted

from thinned.noise import bernoulli, scale
from thinned.ops import gpu
from thinned.ops.triton import launch, trust


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with kernels_interpreted():
        monkeypatch.setattr(trust, "_reasons", {})
        yield


def drop() -> torch.Tensor:
    return gpu.drop(torch.ones(100), torch.tensor(7), 32768, 2.0, 0.0, 0.0, (1,), 0)


def right(y: torch.Tensor) -> bool:
    return bool((y.numpy() == bernoulli(7, 0.5, (100,)) * scale(0.5)).all())


def said() -> str:
    """What the first call says; the second is silent, and both are right."""
    with pytest.warns(RuntimeWarning, match="thinned: the Triton kernels are not used on cpu: ") as caught:
        assert right(drop())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert right(drop())
    return str(caught[0].message)


def test_right_bits_are_trusted_and_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[torch.device] = []
    check = trust.reason_against

    def noted(device: torch.device) -> str:
        looked.append(device)
        return check(device)

    monkeypatch.setattr(trust, "reason_against", noted)
    for _ in range(3):
        assert right(drop())
    assert looked == [CPU]
    assert trust._reasons == {CPU: ""}


def test_a_wrong_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = launch.noise_into

    def wrong(y: torch.Tensor, *arguments: Any) -> None:
        honest(y, *arguments)
        y[-1] += 1

    monkeypatch.setattr(launch, "noise_into", wrong)
    assert "cpu: 2 of 8198 values are not the CPU's. Masks are the same" in said()


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no C compiler")

    monkeypatch.setattr(launch, "noise_into", fails)
    assert "cpu: OSError: no C compiler. Masks are the same" in said()


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "find_spec", lambda name: None)
    assert "cpu: Triton is not installed; torch's builds for GPUs on Linux bring it along" in said()


def test_switched_off_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.VARIABLE, trust.OFF)
    assert right(drop())
    assert trust._reasons == {CPU: "THINNED_TRITON=off"}


def test_a_first_call_in_a_recording_leaves_it_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not read values back there."""
    monkeypatch.setattr(trust, "capturing", lambda device: True)
    assert right(drop())
    assert trust._reasons == {}
    monkeypatch.setattr(trust, "capturing", lambda device: False)
    assert right(drop())
    assert trust._reasons == {CPU: ""}


def test_a_device_of_another_kind_is_not_tried() -> None:
    assert trust.reason_against(torch.device("meta")) == "they are for cpu"
