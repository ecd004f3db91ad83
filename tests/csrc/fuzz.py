"""Calls of the operators and of the public functions by chance: each gives a result or an error, and the process lives.

    python -m tests.csrc.fuzz [--kernel MODULE.so] [--calls 2000] [--seed 0]

With a kernel that was built under AddressSanitizer, in a Python that has the sanitizer's library loaded first, a read
or write beyond a tensor's memory ends the process. test_sanitizers.py does so.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
from typing import Any

import torch

EXPECTED = (ArithmeticError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError)
NUMBERS = (0, 1, -1, 2, 3, 7, 64, 2**31, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63), 2**64 - 1)
SIZES = (0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 257)
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
OTHERS = (torch.complex64, torch.complex128, torch.int64, torch.int8, torch.bool)
VALUES = (0.0, -0.0, 1.0, 0.5, -1.0, 65536.0, 65537.0, 32768.0, 1e-300, 1e39, 1e300, float("inf"), float("nan"))


class Chance:
    """What arguments are, by chance: mostly right ones, with something wrong in them now and then."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.torch = torch.Generator().manual_seed(seed)

    def rare(self, often: float = 0.15) -> bool:
        return self.random.random() < often

    def shape(self) -> list[int]:
        axes = self.random.choice((0, 1, 1, 2, 2, 2, 3, 4))
        return [self.random.choice(SIZES if axes < 3 else SIZES[:8]) for _ in range(axes)]

    def tensor(self, shape: list[int] | None = None) -> Any:
        """A tensor in one of the memory layouts that a call may meet."""
        shape = self.shape() if shape is None else shape
        kind = self.random.choice(OTHERS if self.rare() else FLOATS)
        x = torch.randint(-3, 4, shape, generator=self.torch).to(kind)
        way = self.random.randrange(8)
        if way == 0 and x.ndim > 1:
            x = x.transpose(0, -1)
        elif way == 1 and x.ndim:
            x = torch.stack([x, x], -1)[..., 0]
        elif way == 2 and x.ndim:
            x = x[:1].expand(shape) if shape[0] else x
        elif way == 3 and x.ndim and shape[0] > 1:
            x = x[1:]
        elif way == 4 and x.ndim == 4:
            x = x.to(memory_format=torch.channels_last)
        elif way == 5 and x.numel():
            x = torch.as_strided(x.contiguous(), x.shape, [0] * x.ndim)
        return x.requires_grad_() if self.rare() and x.is_floating_point() else x

    def key(self, x: Any) -> Any:
        if self.rare():
            return self.tensor()
        shape = list(x.shape[: self.random.randrange(x.ndim + 1)])
        if self.rare() and shape:
            shape[-1] += self.random.choice((-1, 1))
        return torch.randint(-(2**63), 2**63 - 1, [max(0, size) for size in shape], generator=self.torch)

    def law(self, count: int) -> Any:
        if self.rare():
            count = self.random.randrange(7)
        values = [self.random.choice(VALUES) for _ in range(count)]
        if values and not self.rare():
            values[0] = float(self.random.randrange(65537))
        law = torch.tensor(values, dtype=torch.float32 if self.rare(0.05) else torch.float64)
        return law.reshape(1, -1) if self.rare(0.05) else law

    def strides(self, x: Any) -> list[int]:
        right = [*torch.empty(x.shape, device="meta").contiguous().stride()]
        if self.rare(0.3):
            right = [self.random.choice(NUMBERS[:-1]) for _ in right]
        if self.rare(0.05):
            right.append(1)
        return [0 if self.rare(0.1) else stride for stride in right]

    def base(self) -> int:
        return self.random.choice(NUMBERS[:-1])


def operator(chance: Chance) -> Any:
    x = chance.tensor()
    name = chance.random.choice(("drop", "drop", "gaussian", "uniform", "fold_in"))
    if name == "fold_in":
        return torch.ops.thinned.fold_in(chance.key(x), chance.base())
    law = chance.law({"drop": 4, "gaussian": 1}.get(name, chance.random.randrange(3)))
    linear = chance.rare(0.3)
    return getattr(torch.ops.thinned, name)(x, chance.key(x), law, linear, chance.strides(x), chance.base())


def public(chance: Chance) -> Any:
    import thinned.nn.functional
    import thinned.ops

    x, pick = chance.tensor(), chance.random
    axes = [pick.randrange(-1, 5) for _ in range(pick.randrange(3))]
    p = pick.choice((0.0, 0.1, 0.5, 1.0, 1.5, float("nan"), torch.tensor([0.3], dtype=torch.float64)))
    options: dict[str, Any] = {"key": pick.choice([*NUMBERS, None])}
    if chance.rare(0.4):
        options["broadcast_dims"] = axes
    if chance.rare(0.2):
        options["offset"] = [pick.choice(NUMBERS) for _ in range(x.ndim)]
    if chance.rare(0.2):
        options["global_shape"] = [pick.choice(NUMBERS) for _ in range(x.ndim)]
    if chance.rare(0.1):
        options["step"] = [pick.choice(NUMBERS) for _ in range(x.ndim)]
    if chance.rare(0.2):
        return thinned.ops.gaussian(x, p, **options)
    if chance.rare(0.2):
        functions = thinned.nn.functional
        name = pick.choice([name for name in dir(functions) if "dropout" in name])
        return getattr(functions, name)(x, p)
    if chance.rare(0.3):
        options["residual"] = chance.tensor([*x.shape])
    if chance.rare(0.3):
        options["out"] = x if chance.rare(0.5) else chance.tensor([*x.shape])
    return thinned.ops.drop(x, p, law=pick.choice(("inverted", "classic", "alpha")), **options)


def array(chance: Chance) -> Any:
    """The functions without torch."""
    import thinned.noise

    pick = chance.random
    shape = [pick.choice(SIZES[:10]) for _ in range(pick.randrange(4))]
    axes = [pick.randrange(-1, 4) for _ in range(pick.randrange(2))]
    x = chance.tensor(shape).detach()
    if x.dtype in (torch.bfloat16,):
        x = x.float()
    return thinned.noise.drop(x.numpy(), pick.choice((0.1, 0.5, 1.0)), key=pick.choice(NUMBERS), broadcast_dims=axes)


def called(make: Any, chance: Chance) -> bool:
    """One call; the backward pass too, where the result has one."""
    try:
        made = make(chance)
        if isinstance(made, torch.Tensor) and made.requires_grad and made.is_floating_point():
            made.sum().backward()
    except EXPECTED:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.kernel:
        found: Any = importlib.util.spec_from_file_location("thinned._kernel", options.kernel)
        sys.modules["thinned._kernel"] = importlib.util.module_from_spec(found)
        found.loader.exec_module(sys.modules["thinned._kernel"])
    from thinned import ops
    from thinned.noise.kernel import kernel

    assert kernel is not None, "the compiled kernel is to be tried"
    assert ops.drop(torch.ones(8), 0.5, key=7).sum() == 10.0
    torch.set_num_threads(2)
    chance, worked = Chance(options.seed), {}
    for make in (operator, public, array):
        worked[make.__name__] = sum(called(make, chance) for _ in range(options.calls))
    assert min(worked.values()) > options.calls // 5, worked
    sys.stdout.write(f"{3 * options.calls} calls: {worked}\n")


if __name__ == "__main__":
    main()
