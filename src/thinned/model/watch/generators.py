"""The states of all generators of random numbers that a model may draw from. They are read, and never set."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..._torch import WithoutFunctionModes


class States(NamedTuple):
    """The states of torch's generators, CPU and accelerator in use, and of `random` and `numpy.random`."""

    cpu: Tensor
    devices: list[Tensor]
    python: tuple[Any, ...]

    @classmethod
    def now(cls) -> States:
        module, devices = _accelerator()
        return cls(torch.get_rng_state(), [module.get_rng_state(*device) for device in devices], python_state())

    def same(self, other: States) -> bool:
        """Whether nothing was drawn between two states."""
        with WithoutFunctionModes():
            tensors = zip((self.cpu, *self.devices), (other.cpu, *other.devices), strict=False)
            return self.python == other.python and all(
                one.numpy().tobytes() == two.numpy().tobytes() for one, two in tensors
            )


def torch_states() -> list[Tensor]:
    """The states of the process's own generators of torch, CPU and CUDA, whatever noise this thread is in."""
    devices = torch.cuda.default_generators if torch.cuda.is_initialized() else ()
    return [generator.get_state() for generator in (torch.default_generator, *devices)]


def python_state() -> tuple[Any, ...]:
    """The states of `random` and `numpy.random`, in a form to compare with `==`. Cost: 40 microseconds."""
    legacy: Any = np.random.get_state()  # noqa: NPY002  models draw from this one
    _, words, *place = legacy
    return random.getstate(), words.tobytes(), *place


def own_state(generators: Sequence[Any]) -> tuple[bytes, ...]:
    """The states of generators of torch, `random` and NumPy that a model holds, in a form to compare with `==`."""
    return tuple(
        pickle.dumps(
            generator.get_state().tolist()
            if isinstance(generator, torch.Generator)
            else generator.bit_generator.state
            if isinstance(generator, np.random.Generator)
            else generator.getstate()
            if isinstance(generator, random.Random)
            else generator.get_state(legacy=False)
        )
        for generator in generators
    )


def _accelerator() -> tuple[Any, list[Any]]:
    """torch's module for the accelerator, such as `torch.cuda`, and the arguments that name each device in use."""
    accelerator = torch.accelerator.current_accelerator()
    module: Any = None if accelerator is None else torch.get_device_module(accelerator)
    if accelerator is None or not getattr(module, "is_initialized", module.is_available)():
        return module, []
    if accelerator.type == "mps":  # one device, and the functions of torch.mps take no argument for it
        return module, [()]
    return module, [(number,) for number in range(module.device_count())]
