"""The expected values of the contract, through the functions for JAX."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.vectors import read

import thinned.interop.jax as tj
from thinned import noise
from thinned.interop.jax import cpu
from thinned.noise.kernel import instruction_sets, kernel, module

MASKS = read.masks()
SMALL = [case for case in MASKS if np.prod(case.shape) < 4096][::12]  # each place is a compilation of a second


def test_the_kernel_is_xlas_custom_call() -> None:
    assert cpu.ready()
    lowered = jax.jit(lambda x: tj.dropout(x, 0.5, 7)).lower(jnp.ones(8)).as_text()
    assert "thinned_drop" in lowered


CHOSEN = """
import jax.numpy as jnp
import thinned.interop.jax as tj
from thinned.noise.kernel import module

asked, real = [], module.xla_drop
module.xla_drop = lambda name: asked.append(name) or real(name)
print(tj.dropout(jnp.ones(4), 0.5, 7).tolist(), asked)
"""


@pytest.mark.parametrize("name", instruction_sets)
def test_the_chosen_instruction_set_is_the_one_that_xla_calls(name: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", CHOSEN],
        env=os.environ | {"THINNED_KERNEL": name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == f"[0.0, 2.0, 2.0, 2.0] ['{name}']"


def test_every_instruction_set_gives_xla_the_same_numbers() -> None:
    x = jnp.linspace(-3, 3, 5000)
    expected = noise.drop(np.asarray(x), 0.3, key=7)
    try:
        for name in instruction_sets:
            module.xla_drop(name)
            assert (np.asarray(tj.dropout(x, 0.3, 7)) == expected).all()
    finally:
        module.xla_drop(kernel.instruction_set)
    with pytest.raises(ValueError, match=r"must be one of instruction_sets\(\). Got 'sse'"):
        module.xla_drop("sse")


@pytest.mark.parametrize("case", MASKS, ids=str)
def test_masks_by_the_kernel(case: read.Mask) -> None:
    thinned = np.asarray(tj.dropout(jnp.ones(case.shape), case.p, case.key, **case.block))
    assert case.agrees(thinned != 0)
    assert set(np.unique(thinned)) <= {np.float32(0), np.float32(case.scale)}


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_masks_by_integers(case: read.Mask) -> None:
    assert case.agrees(np.asarray(tj.bernoulli(case.key, case.p, case.shape, **case.block)))


def test_child_keys() -> None:
    for key, n, child in read.children():
        high, low = np.asarray(tj.fold_in(key, n)).tolist()
        assert high << 32 | low == child


@pytest.mark.parametrize("case", read.fields()[::3], ids=str)
def test_fields(case: read.Field) -> None:
    uniform = np.asarray(tj.uniform(case.key, case.shape, **case.block))
    assert (uniform == case.uniform.astype(np.float32)).all()
    normal = np.asarray(tj.normal(case.key, case.shape, **case.block))
    np.testing.assert_allclose(normal, case.normal, rtol=0, atol=1e-6)


def test_normal_values_are_within_the_contracts_tolerance() -> None:
    """In float32, for a million positions."""
    found, exact = np.asarray(tj.normal(7, (1 << 20,))), noise.normal(7, (1 << 20,))
    assert abs(found - exact).max() < 1e-6


def test_uniform_values_are_rounded_once() -> None:
    assert (np.asarray(tj.uniform(7, (1 << 20,))) == noise.uniform(7, (1 << 20,)).astype(np.float32)).all()
