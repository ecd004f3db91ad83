"""Philox4x32-10 in plain torch integer arithmetic: the eager backend's bits, on every device.

Signed 64-bit products wrap modulo 2**64, so their bits are the unsigned ones; the arithmetic shift is masked. The two
multiplications of a round are done as one on a stacked pair, because on small tensors a call costs more than its work.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..noise.philox import MULTIPLIERS, ROUNDS, WEYL

_LOW = 0xFFFFFFFF


def philox_words(block: Tensor, key: Tensor, domain: int) -> Tensor:
    """The four output words of numbered blocks, as int64 in [0, 2**32).

    Arguments:
        block: int64 block numbers (bits of an unsigned number), shape `(*K, N)`.
        key: int64 keys (bits of an unsigned number), shape `(*K, 1)` or `(1,)`, on `block`'s device.
        domain: the last counter word.

    Returns:
        int64, shape `(4, *K, N)`.
    """
    device = block.device
    shape = torch.broadcast_shapes(block.shape, key.shape)
    ones = (1,) * len(shape)
    multiplier = torch.tensor(MULTIPLIERS, dtype=torch.int64, device=device).view(2, *ones)
    # even holds words (0, 2) and odd words (1, 3) of the counter (block_lo, block_hi, 0, domain).
    even = torch.zeros((2, *shape), dtype=torch.int64, device=device)
    odd = torch.full((2, *shape), domain, dtype=torch.int64, device=device)
    even[0], odd[0] = block & _LOW, (block >> 32) & _LOW
    for round_key in _round_keys(key):
        # Word 0 takes the high half of word 2's product and word 2 that of word 0's: hence the flip. The low halves
        # become the odd words; their upper bits are cut off when the next round has mixed them in.
        product = (even * multiplier).flip(0)
        odd ^= product >> 32
        odd ^= round_key
        odd &= _LOW
        even, odd = odd, product
    odd &= _LOW
    return torch.stack((even[0], odd[0], even[1], odd[1]))


def _round_keys(key: Tensor) -> tuple[Tensor, ...]:
    """The key of every round: word w of round r is `key_w + r * weyl_w`, each of shape `(2, *key.shape)`."""
    weyl = torch.tensor(WEYL, dtype=torch.int64, device=key.device).view(2, *(1,) * key.ndim)
    step = torch.arange(ROUNDS, device=key.device).view(-1, 1, *(1,) * key.ndim)
    return ((torch.stack((key, key >> 32)) + step * weyl) & _LOW).unbind()


def signed(value: int) -> int:
    """The signed number with the low 64 bits of an unsigned one."""
    return (value + 2**63) % 2**64 - 2**63
