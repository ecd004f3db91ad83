"""Philox4x32-10 in integer operations of torch: the random bits of the eager backend, on every device.

torch has only signed 64-bit integers here. Their products wrap modulo 2**64, so they have the same bits as unsigned
products. A right shift copies the sign bit, so its result is masked. The two multiplications of a round are one call on
a stacked pair, because on small tensors the cost of a call is larger than its work.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..noise.philox import MULTIPLIERS, ROUNDS, WEYL

_LOW = 0xFFFFFFFF


def philox_words(block: Tensor, key: Tensor, domain: int) -> Tensor:
    """The four output words of each block, as int64 in [0, 2**32).

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
        # The new word 0 has the high half of word 2's product, and the new word 2 the high half of word 0's product: so
        # the pair is flipped. The low halves of the products become the odd words; `& _LOW` in the next round removes
        # their upper bits.
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
    """The signed 64-bit number that has the bits of an unsigned one."""
    return (value + 2**63) % 2**64 - 2**63
