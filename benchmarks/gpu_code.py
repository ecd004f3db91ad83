"""What the GPU kernels cost, read from their compiled code, on a machine without a GPU.

    python -m benchmarks.gpu_code           # half a minute; writes results/gpu_code.csv and the tables
    python -m benchmarks.gpu_code --check   # only says whether both are up to date: exit status 1 if not

The kernels are compiled for each processor as they are launched, disassembled, and the instructions counted on the path
of a full tile: what every program but the last one runs. It needs Triton for Linux, which has the disassembler.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from .harness import RESULTS, Row
from .page import PAGE, filled, table

FILE = RESULTS / "gpu_code.csv"


class Kernel(NamedTuple):
    """A kernel as a call launches it."""

    what: str
    form: str
    lanes: int  # values of one block of noise
    constants: Mapping[str, int | bool]


def _run(what: str, law: int = 0, loaded: bool = False, more: bool = False) -> Kernel:
    constants = {"LAW": law, "LOADED": loaded, "ADD": more, "SHIFT": more}
    return Kernel(what, "run", 4 if law else 8, constants)


def _axes(what: str, axis: int, vectors: bool) -> Kernel:
    constants = {"LAW": 0, "LOADED": False, "ADD": False, "SHIFT": False, "AXES": 2, "AXIS": axis}
    return Kernel(what, "axes", 8, constants | {"WHOLE": True, "ALIKE": True, "LONG": False, "vectors": vectors})


DROP = "drop"
KERNELS = (
    _run(DROP),
    _run("drop, key in memory, alpha's map, residual", loaded=True, more=True),
    _axes("drop, one mask for all rows", 3, vectors=True),
    _axes("drop, one draw a row", 2, vectors=False),
    _run("gaussian", law=1),
    _run("uniform", law=2),
)
DTYPES = {"bfloat16": ("bf16", 2), "float32": ("fp32", 4), "float64": ("fp64", 8)}
TARGETS: dict[str, tuple[str, int | str, int]] = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}


class Instruction(NamedTuple):
    name: str
    conditional: bool
    operands: str


class Code(NamedTuple):
    """A kernel's compiled code."""

    instructions: list[Instruction]
    labels: dict[str, int]  # the instruction that each stands before
    registers: int
    spilled: int  # bytes of the stack, of local memory, of spilled registers
    shared: int  # bytes


def compiled(kernel: Kernel, dtype: str, target: str) -> Code:
    """The code of a kernel on values of a type, for a processor."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from thinned.ops.triton import kernels
    from thinned.ops.triton.arrange import BLOCKS
    from thinned.ops.triton.launch import OPTIONS

    function: Any = getattr(kernels, kernel.form)
    short, size = DTYPES[dtype]
    given = dict(kernel.constants)
    width = max(1, min(kernel.lanes, 16 // size)) if given.pop("vectors", True) else 1
    values = given | {"WIDTH": width, "B": BLOCKS}
    signature, constants, attributes = {}, {}, {}
    for number, parameter in enumerate(function.params):
        name = parameter.name
        if parameter.is_constexpr:
            signature[name], constants[(number,)] = "constexpr", values[name]
        elif name.endswith("_ptr"):
            signature[name] = "*i64" if name == "key_ptr" and given["LOADED"] else f"*{short}"
            attributes[(number,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = parameter.annotation_type
    source = ASTSource(function, signature, constants, attributes)
    made = triton.compile(source, target=GPUTarget(*TARGETS[target]), options=OPTIONS)
    return _amd(made.asm["amdgcn"]) if target.startswith("gfx") else _nvidia(made.asm["cubin"])


def _nvidia(binary: bytes) -> Code:
    import triton

    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        text, usage = (
            subprocess.run(
                [tools / command[0], *command[1:], file.name], capture_output=True, text=True, check=True
            ).stdout
            for command in (("nvdisasm", "-c"), ("cuobjdump", "-res-usage"))
        )
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if found := re.match(r"(\.L_x_\d+):", line.strip()):
            labels[found[1]] = len(instructions)
        elif found := re.search(r"/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)([^;]*);", line):
            instructions.append(Instruction(found[2], bool(found[1]), found[3]))
    used = {name: int(number) for name, number in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    return Code(instructions, labels, used["REG"], used["STACK"] + used["LOCAL"], used["SHARED"])


def _amd(text: str) -> Code:
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if found := re.match(r"(\.LBB\d+_\d+):", line):
            labels[found[1]] = len(instructions)
        elif found := re.match(r"\s+([vs]_\w+|(?:ds|global|flat|buffer|scratch)_\w+)(.*)", line):
            instructions.append(Instruction(found[1], "cbranch" in found[1], found[2]))
    used = {name: int(number) for name, number in re.findall(r"\.(\w+):\s+(\d+)", text)}
    spilled = used["vgpr_spill_count"] + used["sgpr_spill_count"] + used["private_segment_fixed_size"]
    return Code(instructions, labels, used["vgpr_count"], spilled, used["group_segment_fixed_size"])


def full_tile(code: Code) -> list[Instruction]:
    """The instructions of a full tile: of the paths to an end that store the widest, the shortest."""
    steps = code.instructions
    leaders = sorted({0, len(steps), *code.labels.values(), *(n + 1 for n, step in enumerate(steps) if _jumps(step))})
    blocks = {start: steps[start:end] for start, end in pairwise(leaders)}
    found: list[list[Instruction]] = []
    open_paths: list[tuple[int, list[int]]] = [(0, [])]
    while open_paths:
        start, before = open_paths.pop()
        path = [*before, start]
        last = blocks[start][-1]
        if last.name in ("EXIT", "s_endpgm") and not last.conditional:
            found.append([step for each in path for step in blocks[each]])
            continue
        after = start + len(blocks[start])
        label = re.search(r"\.L\w+", last.operands)
        onward = [code.labels[label[0]]] if label and _jumps(last) and not last.name.startswith("CALL") else []
        if last.conditional or not onward:
            onward.append(after)
        open_paths += [(each, path) for each in onward if each in blocks and each not in path]
    widest = max(_widest(path) for path in found)
    return min((path for path in found if _widest(path) == widest), key=len)


def _jumps(step: Instruction) -> bool:
    return step.name.startswith(("BRA", "EXIT", "s_branch", "s_cbranch", "s_endpgm"))


def _widest(path: Sequence[Instruction]) -> int:
    return min((_bits(step.name) for step in path if kind(step.name) == "memory" and _stores(step.name)), default=0)


def _stores(name: str) -> bool:
    return name.startswith("ST") or "_store" in name


def _bits(name: str) -> int:
    """How many bits a thread reads or writes by an instruction."""
    if found := re.search(r"dwordx(\d)", name):
        return 32 * int(found[1])
    if found := re.search(r"\.(?:U)?(8|16|64|128|256)\b", name):
        return int(found[1])
    return 16 if "short" in name else 32


def kind(name: str) -> str:
    """What an instruction is for."""
    if name.startswith(("BAR", "WARPSYNC", "s_barrier")):
        return "barrier"
    if name.startswith(("LDS", "STS", "SHFL", "ds_")):
        return "exchange"
    if name.startswith(("LDL", "STL", "scratch")):
        return "spill"
    if name.startswith(("LDG", "STG", "global", "buffer", "flat")):
        return "memory"
    if re.match(r"F|D(ADD|MUL|FMA|SETP)|MUFU|I2F|v_\w*f(16|32|64)", name):
        return "float"
    if name.startswith(("U", "LDC", "S2", "BRA", "EXIT", "BS", "CALL", "RET", "NOP", "s_", "CS2R", "R2UR")):
        return "control"  # once for all threads of a warp, and what begins and ends a program
    return "integer"


KINDS = ("integer", "float", "memory", "barrier", "exchange", "spill", "control")


def counted(kernel: Kernel, dtype: str, target: str) -> Row:
    """A row of the file."""
    import triton

    from thinned.ops.triton.arrange import BLOCKS
    from thinned.ops.triton.launch import OPTIONS

    code = compiled(kernel, dtype, target)
    path = full_tile(code)
    each = kernel.lanes * BLOCKS / (OPTIONS["num_warps"] * TARGETS[target][2])
    kinds = Counter(kind(step.name) for step in path)
    accesses = sorted({_bits(step.name) for step in path if kind(step.name) == "memory"})
    return {
        "triton": triton.__version__,
        "what": kernel.what,
        "dtype": dtype,
        "target": target,
        "instructions": f"{len(path) / each:.4g}",
        **{name: f"{kinds[name] / each:.3g}" for name in KINDS},
        "access_bits": " ".join(map(str, accesses)),
        "registers": str(code.registers),
        "spilled_bytes": str(code.spilled),
        "shared_bytes": str(code.shared),
    }


def counts() -> Iterator[Row]:
    """Every row: all kernels for one processor, the plain drop for all."""
    for target in TARGETS:
        for kernel in KERNELS:
            for dtype in DTYPES if kernel.what == DROP else ("bfloat16", "float32"):
                if kernel.what == DROP or target == "sm_90":
                    yield counted(kernel, dtype, target)


class Card(NamedTuple):
    """A GPU, by its maker's figures."""

    name: str
    target: str
    processors: int
    gigahertz: float  # at boost
    terabytes: float  # a second


CARDS = (
    Card("A100 SXM 80 GB", "sm_80", 108, 1.41, 2.04),
    Card("H100 SXM", "sm_90", 132, 1.83, 3.35),
    Card("H200", "sm_90", 132, 1.83, 4.8),
    Card("B200", "sm_100", 148, 1.85, 8.0),
)
COPY = 0.9  # of the maker's bandwidth, which a copy reaches
# Lanes that a processor takes a cycle: as instructions of any kind, and as integer ones. Products and other integer
# instructions have units of their own, each so wide; all are counted on one, as products of 64 bits take theirs twice.
ISSUED, HALF = 128, 64


def estimates(rows: Sequence[Row]) -> Iterator[list[str]]:
    """A line a card and type: what memory allows, what the instructions allow, and which share of it that is."""
    found = {(row["dtype"], row["target"]): row for row in rows if row["what"] == DROP}
    for card in CARDS:
        for dtype in ("bfloat16", "float32"):
            row, size = found[dtype, card.target], DTYPES[dtype][1]
            memory = COPY * card.terabytes / (2 * size)
            cycles = max(float(row["instructions"]) / ISSUED, float(row["integer"]) / HALF)
            limit = card.processors * card.gigahertz * 1e-3 / cycles
            yield [card.name, dtype, f"{memory:.2f}", f"{limit:.2f}", f"{memory / limit:.0%}"]


def page_blocks(rows: Sequence[Row]) -> dict[str, str]:
    """The page's tables."""
    names = ("instructions", "integer", "float", "memory", "control", "access_bits", "registers", "spilled_bytes")
    head = ["kernel", "type", "for", *(name.replace("_", " ") for name in names), "shared bytes"]
    lines = [
        [row["what"], row["dtype"], row["target"], *(row[name] for name in (*names, "shared_bytes"))] for row in rows
    ]
    first = ["card", "type", "memory allows", "instructions allow", "used"]
    made = f"Compiled by Triton {rows[0]['triton']}."
    return {"code": f"{made}\n\n{table(head, lines)}", "roofline": table(first, estimates(rows))}


def recorded() -> list[Row]:
    """The rows of the file."""
    with FILE.open(newline="") as stream:
        return list(csv.DictReader(stream))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = list(counts())
    for row in rows:
        print(*row.values(), sep=", ")
    text = PAGE.read_text(encoding="utf-8")
    wanted = filled(text, page_blocks(rows), "benchmarks.gpu_code")
    if options.check:
        if rows != recorded() or text != wanted:
            sys.exit(f"{FILE} and {PAGE} are not what the code says. Call: python -m benchmarks.gpu_code")
        return
    with FILE.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
