"""A stream's seed and step inside its model's `state_dict`, for training loops that save and load nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch.utils.hooks import RemovableHandle

from ...ops.philox import signed
from ..uncopied_hook import UncopiedHook

ENTRY = "_thinned_stream"  # version, seed and step, as one int64 tensor


class Saveable(Protocol):
    def state_dict(self) -> dict[str, int]: ...
    def load_state_dict(self, state: Mapping[str, int]) -> None: ...


def put_in_state_dict(model: torch.nn.Module, stream: Saveable) -> list[RemovableHandle]:
    """Have `model.state_dict()` hold the stream's, and `load_state_dict` set it, until the handles are removed.

    A `state_dict` without the entry is loaded like one with a missing key.
    """

    def save(module: torch.nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        held = stream.state_dict()
        numbers = [held["version"], signed(held["seed"]), signed(held["step"])]
        state[prefix + ENTRY] = torch.tensor(numbers, dtype=torch.int64, device="cpu")

    def load(
        module: torch.nn.Module,
        state: dict[str, Any],
        prefix: str,
        metadata: Any,
        strict: bool,
        missing: list[str],
        *_: Any,
    ) -> None:
        held = state.pop(prefix + ENTRY, None)
        if held is None:
            missing.append(prefix + ENTRY)
            return
        version, seed, step = held.tolist()
        stream.load_state_dict({"version": version, "seed": seed % 2**64, "step": step % 2**64})

    return [
        model.register_state_dict_post_hook(UncopiedHook(save)),
        model.register_load_state_dict_pre_hook(UncopiedHook(load)),
    ]
