"""What the GPU kernels' compiled code costs: within its limits, as recorded, and on the page."""

from __future__ import annotations

import pytest

pytest.importorskip("triton", "3.7", reason="needs Triton 3.7 or newer, which is for Linux")

import triton
from benchmarks.gpu_code import Code, Instruction, compiled, counted, full_tile
from benchmarks.page import PAGE, filled

from benchmarks import gpu_code

from .run import run

KERNELS = {kernel.what: kernel for kernel in gpu_code.KERNELS}
MOST = {"bfloat16": 19.0, "float32": 20.0, "float64": 20.0}  # instructions a value


recorded_by_this_triton = pytest.mark.skipif(
    {row["triton"] for row in gpu_code.recorded()} != {triton.__version__},
    reason="the rows on record are of another version of Triton",
)


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_the_plain_drop_is_within_its_limits(dtype: str, target: str) -> None:
    row = counted(KERNELS["drop"], dtype, target)
    assert float(row["instructions"]) <= MOST[dtype]
    assert row["access_bits"] == "128"
    assert row["spilled_bytes"] == row["shared_bytes"] == "0"
    assert row["barrier"] == row["exchange"] == row["spill"] == "0"


@recorded_by_this_triton
def test_a_row_is_as_recorded() -> None:
    assert counted(KERNELS["drop"], "bfloat16", "sm_90") in gpu_code.recorded()


def test_no_recorded_kernel_spills_or_exchanges() -> None:
    rows = gpu_code.recorded()
    assert {row["what"] for row in rows} == set(KERNELS)
    for row in rows:
        assert row["spilled_bytes"] == row["shared_bytes"] == "0", row
        assert row["barrier"] == row["exchange"] == row["spill"] == "0", row
        if row["what"] == "drop" and row["target"] != "gfx942":
            assert float(row["instructions"]) <= MOST[row["dtype"]]


def test_product_and_sum_are_not_fused() -> None:
    """They are rounded one after the other, as on the CPU; to bfloat16 by the processor, to the nearest."""
    code = compiled(KERNELS["drop, key in memory, alpha's map, residual"], "bfloat16", "sm_90")
    names = [step.name for step in full_tile(code)]
    assert not [name for name in names if name.startswith("FFMA")]
    assert names.count("FMUL") >= 8
    assert "F2FP.BF16.F32.PACK_AB" in names


def test_the_page_has_the_recorded_tables() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text, gpu_code.page_blocks(gpu_code.recorded()), "benchmarks.gpu_code") == text


@pytest.mark.long
@recorded_by_this_triton
def test_every_row_is_as_recorded() -> None:
    run("gpu_code", "--check")


def test_the_path_of_a_full_tile() -> None:
    """Of two ends the one with the wide store; a loop and a detour are not gone through."""

    def step(name: str, operands: str = "", conditional: bool = False) -> Instruction:
        return Instruction(name, conditional, operands)

    steps = [
        step("MOV"),
        step("BRA", " `(.L_x_1)", conditional=True),
        step("BRA", " `(.L_x_2)", conditional=True),
        step("IADD3"),
        step("STG.E.128"),
        step("EXIT"),
        step("STG.E.U16"),
        step("BRA", " `(.L_x_1)", conditional=True),
        step("EXIT"),
    ]
    path = full_tile(Code(steps, {".L_x_1": 6, ".L_x_2": 4}, 0, 0, 0))
    assert [each.name for each in path] == ["MOV", "BRA", "BRA", "STG.E.128", "EXIT"]
