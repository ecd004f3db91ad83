"""AdamW for one network, without torch's compiler."""

from __future__ import annotations

from inspect import unwrap
from typing import Any

import torch


class UncompiledAdamW(torch.optim.AdamW):
    """torch's own AdamW. Its methods load torch's compiler, 2 s a process, to tell it that they are not compiled.

    Here they are what stands below that.
    """

    add_param_group = unwrap(torch.optim.AdamW.add_param_group)
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
    zero_grad = unwrap(torch.optim.AdamW.zero_grad)


def adamw(network: torch.nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW, whose weight decay is decoupled and spares biases.

    >>> adamw(torch.nn.Linear(4, 2), 0.01, 0.5).param_groups[0]["weight_decay"]
    0.5
    """
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in network.parameters() if parameter.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    return UncompiledAdamW(groups, lr=lr, fused=True)
