"""Masks on a second device are the CPU's: the tests that a GPU gets, there."""

from __future__ import annotations

import pytest
from tests.nn import test_cuda as layers
from tests.nn.test_cuda import (  # noqa: F401
    test_built_and_run_with_the_gpu_as_torch_s_default_device,
    test_checkpointing_sees_the_same_mask_twice,
    test_in_place_and_with_a_residual,
    test_layouts,
    test_packed_sequences,
    test_streams,
    test_values_and_gradients_of_a_key,
    test_values_and_gradients_of_a_seed,
)
from tests.nn.test_cuda import test_vmap as test_layers_under_vmap  # noqa: F401
from tests.ops import test_cuda as operators
from tests.ops.test_cuda import (  # noqa: F401
    test_a_key_and_a_rate_may_lie_on_the_gpu_or_not,
    test_derivatives_of_every_order,
    test_fields,
    test_gaussian_agrees_within_the_contract,
    test_masks,
    test_values_and_gradients,
    test_vmap,
    test_with_the_gpu_as_torch_s_default_device,
)


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "DEVICE", "twin")
    monkeypatch.setattr(operators, "DEVICE", "twin")
