"""`thinned::uniform` multiplies by the contract's uniform numbers."""

from __future__ import annotations

import numpy as np
import torch

from thinned import noise


def test_the_numbers_are_the_contract_s() -> None:
    ones, law = torch.ones(5, 7, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    drawn = torch.ops.thinned.uniform(ones, torch.tensor(9), law, False, [7, 1], 0)
    assert np.array_equal(drawn.numpy(), np.minimum(noise.uniform(9, (5, 7)), 1.0 - 2.0**-24))
    keys = torch.tensor([9, 10])
    rows = torch.func.vmap(lambda key: torch.ops.thinned.uniform(ones, key, law, False, [7, 1], 0))(keys)
    assert torch.equal(rows[0], drawn)
    assert not torch.equal(rows[1], drawn)


def test_no_number_is_1_in_any_type() -> None:
    law = torch.zeros(1, dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        drawn = torch.ops.thinned.uniform(torch.ones(2**22, dtype=dtype), torch.tensor(1), law, False, [1], 0)
        assert drawn.min() > 0.0
        assert drawn.max() < 1.0
