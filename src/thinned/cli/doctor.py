"""`thinned doctor`: which backend does the work for which tensors, why, and whether its bits are right."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from .terminal import show


class Fact(NamedTuple):
    """One line: what was looked at, what was found, and why it is so."""

    what: str
    found: str
    why: str


def doctor() -> None:
    """Tell which backends are here, which one serves which tensors, and why; check that their masks are the contract's.

    Exit code 1: a backend's bits are wrong, or THINNED_KERNEL names what this machine has not.
    """
    console = Console()
    try:
        from ..noise import kernel as loader
    except ValueError as error:  # a wrong THINNED_KERNEL
        show(console, str(error), "red")
        raise typer.Exit(1) from None
    _print(console, "Here", ("", "", ""), here(loader))
    _print(console, "Which backend serves which", ("values", "backend", "why"), served(loader))
    checks = list(checked(loader))
    _print(console, "The bits of one call, against the reference", ("backend", "bits", ""), checks)
    if any(check.found != "ok" for check in checks):
        console.print("A backend's masks are wrong: results can't be trusted. Reinstall thinned.", style="red")
        raise typer.Exit(1)


def here(loader: Any) -> Iterator[Fact]:
    """Versions, the kernel and its threads."""
    import torch

    from ..noise import VERSION

    yield Fact("thinned", version("thinned"), f"noise version {VERSION}")
    yield Fact("Python", platform.python_version(), f"{platform.system()} on {platform.machine()}")
    yield Fact("NumPy, torch", f"{np.__version__}, {torch.__version__}", "")
    yield private_names()
    if loader.module is None:
        yield Fact("CPU kernel", "none", loader.missing)
    else:
        yield Fact("CPU kernel", "built", loader.module.__file__)
    yield Fact(
        "instruction sets", ", ".join(loader.instruction_sets) or "none", "those that this machine and build have"
    )
    yield Fact(loader.VARIABLE, os.environ.get(loader.VARIABLE) or "not set", "chooses an instruction set, or off")
    yield Fact("in use", loader.kernel.instruction_set or "none", loader.kernel.reason)
    whose = "torch.set_num_threads sets it"
    if loader.kernel.run is not None:
        whose += "; the kernel uses torch's threads" if loader.module.pool() == "openmp" else "; the kernel uses one"
    yield Fact("CPU threads", str(torch.get_num_threads()), whose)
    if torch.cuda.is_available():
        yield Fact("CUDA", torch.version.cuda or "yes", torch.cuda.get_device_name())
    else:
        yield Fact("CUDA", "none", "this torch finds no CUDA device")
    yield triton()


def triton() -> Fact:
    """Triton, and what has to do with it: the kernels for a GPU."""
    from .._torch import LackingName

    try:
        found = version("triton")
        from ..ops.triton.trust import OFF, VARIABLE
    except PackageNotFoundError:
        return Fact("Triton", "none", "torch's builds for GPUs on Linux bring it along")
    except LackingName:  # the last table has it
        return Fact("Triton", found, "")
    chosen = os.environ.get(VARIABLE)
    return Fact("Triton", found, f"{VARIABLE}={chosen}" if chosen else f"for GPUs; {VARIABLE}={OFF} switches it off")


def private_names() -> Fact:
    """What this version of torch lacks of the names that it does not promise to keep, and what needs them."""
    from .. import _torch

    what = "torch's private names"
    missing = [f"{private.owner}: {private.name}, {private.purpose}" for private in _torch.lacking()]
    if not missing:
        return Fact(what, f"all {_torch.COUNT} there", "thinned uses them, and torch may change them")
    return Fact(what, f"lacks {len(missing)} of {_torch.COUNT}", "\n".join(missing))


def served(loader: Any) -> Iterator[Fact]:
    """Who does dropout for each kind of values. `thinned.ops.cpu` decides by the same facts."""
    kernel = loader.kernel
    types = ("float32", "float64", "bfloat16", "float16", "complex64", "complex128")
    for name in types:
        if kernel.run is None:
            yield Fact(f"{name} on the CPU", "eager", kernel.reason)
        elif name in loader.TYPES:
            yield Fact(f"{name} on the CPU", f"kernel, {kernel.instruction_set}", kernel.reason)
        else:
            yield Fact(f"{name} on the CPU", "eager", "the kernel has no complex numbers")
    yield from served_on_gpus()
    yield Fact("Gaussian noise on the CPU", "eager", "the kernel drops units only")
    plain = "plain NumPy" if kernel.run is None else f"kernel, {kernel.instruction_set}"
    yield Fact("NumPy arrays", plain, "thinned.noise.drop")


def served_on_gpus() -> Iterator[Fact]:
    """Who does dropout on each GPU. `thinned.ops.gpu` decides by the same facts."""
    from .._torch import LackingName

    try:
        found = gpus()
    except LackingName as error:
        yield Fact("any type on a GPU", "failed", str(error))
        return
    if not found:
        yield Fact("any type on a GPU", "not tried", "this torch finds no GPU; there it is Triton's kernels, or eager")
    for device, reason in found.items():
        if reason:
            yield Fact(f"any type on {device}", "eager", reason)
        else:
            yield Fact(f"float types on {device}", "Triton", "a block of noise there has the CPU's bits")
            yield Fact(f"complex types on {device}", "eager", "the kernels have no complex numbers")


def gpus() -> dict[Any, str]:
    """Every device that the kernels are for, and why they can't be used there, or nothing."""
    import torch

    from ..ops.triton.trust import DEVICES, reason_against

    found: dict[Any, str] = {}
    for kind in sorted(DEVICES):
        module = getattr(torch, kind)
        if module.is_available():
            devices = [torch.device(kind, number) for number in range(module.device_count())]
            found |= {device: reason_against(device) for device in devices}
    return found


POSITIONS, KEY, P = 4000, 0x5EED, 0.3
BASE = 2**35 - 1234  # a counter's low word ends in the middle


def checked(loader: Any) -> Iterator[Fact]:
    """The same call by every instruction set and, on every kind of device here, by the eager backend."""
    import torch

    from .._torch import LackingName
    from ..noise import bernoulli, scale, threshold

    try:
        from ..ops import eager
    except LackingName as error:
        yield Fact("eager", "failed", str(error))
        return
    kept = bernoulli(KEY, P, (POSITIONS,), offset=(BASE,), global_shape=(BASE + POSITIONS,))
    expected = np.where(kept, np.float32(scale(P)), np.float32(0))

    def verdict(backend: str, call: Callable[[], Any]) -> Fact:
        try:
            wrong = int((call() != expected).sum())
        except Exception as error:  # whatever it is, the other backends are looked at too
            return Fact(backend, "failed", f"{type(error).__name__}: {error}")
        return Fact(backend, "ok" if not wrong else "WRONG", f"{wrong} of {POSITIONS} differ" if wrong else "")

    def compiled(name: str) -> Any:
        x, y = np.ones(POSITIONS, np.float32), np.empty(POSITIONS, np.float32)
        one = (1,)
        addresses = loader.DROP, loader.TYPES["float32"], y.ctypes.data, x.ctypes.data, 0
        loader.Kernel(name).run(
            *addresses, (POSITIONS,), one, one, one, 1, KEY, threshold(P), scale(P), 0.0, 0.0, one, BASE
        )
        return y

    def plain(device: str) -> Any:
        x, key = torch.ones(POSITIONS, device=device), torch.tensor(KEY, device=device)
        return eager.drop(x, key, threshold(P), scale(P), 0.0, 0.0, (1,), BASE).cpu().numpy()

    for name in loader.instruction_sets:
        yield verdict(f"kernel, {name}", lambda name=name: compiled(name))  # type: ignore[misc]
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        yield verdict(f"eager, {device}", lambda device=device: plain(device))  # type: ignore[misc]


def _print(console: Console, title: str, headings: tuple[str, ...], findings: Any) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(headings), pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(*finding)
    console.print(table)
