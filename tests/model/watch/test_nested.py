"""Models on nested tensors: the tools see what they see on padded ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import thinned
import thinned.nn

# torch's, of the older layout.
pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning")

LAYOUTS = pytest.mark.parametrize("layout", [torch.jagged, torch.strided], ids=str)


def rows(layout: torch.layout) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.nested.nested_tensor([torch.rand(length, 8, generator=draw) for length in (20, 30, 25)], layout=layout)


class ByHand(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) > 0.25) / 0.75 if self.training else x


@LAYOUTS
@pytest.mark.parametrize("kind", [torch.nn.Dropout, thinned.nn.Dropout, thinned.nn.AlphaDropout])
def test_a_place(kind: type[torch.nn.Module], layout: torch.layout) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), kind(0.3), torch.nn.Linear(8, 2))
    torch.manual_seed(0)
    (place,) = thinned.inspect(model, rows(layout)).places
    assert (place.name, place.p, place.shape) == ("1", 0.3, (3, 30, 8))
    assert place.measured is not None
    assert 0.2 < place.measured < 0.4
    assert (place.train_calls, place.eval_calls) == (1, 0)


def test_a_mask_made_by_hand() -> None:
    torch.manual_seed(0)
    (place,) = thinned.inspect(torch.nn.Sequential(ByHand()), rows(torch.jagged)).places
    assert place.shape == (3, 30, 8)
    assert place.p == pytest.approx(0.25)
    assert place.measured is not None
    assert 0.15 < place.measured < 0.35


@LAYOUTS
def test_the_other_tools(layout: torch.layout) -> None:
    model, x = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 2)), rows(layout)
    assert not thinned.check(model, x)
    thinned.plan(model, x)
    report = thinned.convert(model)
    assert [row.path for row in report.changed] == ["1"]
    assert not thinned.check(model, x)
    with thinned.disabled(model):
        quiet = model(x)
    with thinned.eval_guard(model):
        off = model.eval()(x)
    for one, other in zip(quiet.unbind(), off.unbind(), strict=True):
        assert torch.equal(one, other)
    thinned.set_rates(model, {"*": 0.5})
    torch.manual_seed(0)
    (place,) = thinned.inspect(model, x).places
    assert place.p == 0.5


def test_a_converted_encoder_takes_its_fast_path() -> None:
    """torch packs padded rows into a nested tensor there, and our layers pass it on."""
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=True).eval()
    x, padding = torch.rand(2, 4, 8), torch.tensor([[False] * 4, [False, False, True, True]])
    with torch.no_grad():
        expected = model(x, src_key_padding_mask=padding)
        thinned.convert(model)
        torch.testing.assert_close(model(x, src_key_padding_mask=padding), expected)
