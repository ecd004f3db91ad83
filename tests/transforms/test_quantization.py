"""torch's eager and FX quantisation: our layers stay in the quantised model, and pass its integers on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.ao import quantization

import thinned
from thinned.nn import AlphaDropout, Dropout, Dropout2d, GaussianDropout, LockedDropout, StochasticDepth

ENGINES = [engine for engine in torch.backends.quantized.supported_engines if engine != "none"]
pytestmark = pytest.mark.skipif(not ENGINES, reason="this torch has no engine for quantised models")


@pytest.fixture(autouse=True)
def _engine() -> Iterator[None]:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in ENGINES else ENGINES[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's: this way of quantising is deprecated, and observers are young
        yield
    torch.backends.quantized.engine = before


class Network(torch.nn.Module):
    def __init__(self, *noises: torch.nn.Module) -> None:
        super().__init__()
        self.quant, self.dequant = quantization.QuantStub(), quantization.DeQuantStub()
        self.layers = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), *noises, torch.nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dequant(self.layers(self.quant(x)))
        return y


def noises() -> list[torch.nn.Module]:
    return [Dropout(0.5), AlphaDropout(0.2), GaussianDropout(0.2), StochasticDepth(0.2), Dropout(0.3, True)]


@pytest.mark.parametrize("aware", [False, True], ids=["after training", "aware"])
def test_an_eager_model(aware: bool) -> None:
    torch.manual_seed(0)
    model, x = Network(*noises()), torch.rand(20, 6)
    if aware:
        model.qconfig = quantization.get_default_qat_qconfig(torch.backends.quantized.engine)
        prepared = quantization.prepare_qat(model.train())
        for _ in range(3):
            prepared(x).square().mean().backward()
    else:
        model.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
        prepared = quantization.prepare(model.eval())
    expected = prepared.eval()(x)
    quantised = quantization.convert(prepared)
    met: list[torch.dtype] = []
    quantised.layers[2].register_forward_hook(lambda module, inputs, output: met.append(output.dtype))
    assert (quantised(x) - expected).abs().max() < 0.1 * expected.abs().max()
    assert met == [torch.quint8]
    assert sum(module.__module__.startswith("thinned.nn") for module in quantised.modules()) == 5


def test_a_converted_convolutional_model() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        quantization.QuantStub(), torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Dropout2d(0.3),
        torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.Linear(144, 3), quantization.DeQuantStub(),
    )  # fmt: skip
    thinned.convert(model)
    model.eval().qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
    prepared = quantization.prepare(model)
    x = torch.rand(5, 3, 8, 8)
    expected = prepared(x)
    quantised = quantization.convert(prepared)
    assert type(quantised[3]) is Dropout2d
    assert (quantised(x) - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.parametrize("aware", [False, True], ids=["after training", "aware"])
def test_a_traced_model(aware: bool) -> None:
    from torch.ao.quantization import quantize_fx

    torch.manual_seed(0)
    x = torch.rand(20, 6)
    model: Any = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), *noises(), torch.nn.Linear(8, 3))
    mapping = (quantization.get_default_qat_qconfig_mapping if aware else quantization.get_default_qconfig_mapping)(
        torch.backends.quantized.engine
    )
    prepare = quantize_fx.prepare_qat_fx if aware else quantize_fx.prepare_fx
    prepared = prepare(model.train(aware), mapping, (x,))
    if aware:
        assert not torch.equal(prepared(x), prepared(x))
    expected = prepared.eval()(x)
    quantised = quantize_fx.convert_fx(prepared)
    assert (quantised(x) - expected).abs().max() < 0.1 * expected.abs().max()
    assert sum(type(module).__module__.startswith("thinned.nn") for module in quantised.modules()) == 5


def test_noise_on_quantised_numbers_is_refused() -> None:
    x = torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.quint8)
    for layer in (Dropout(0.5), GaussianDropout(0.5), AlphaDropout(0.5), LockedDropout(0.5), StochasticDepth(0.5)):
        with pytest.raises(TypeError, match=r"Got torch.quint8. Convert it first: input.dequantize\(\)"):
            layer(x)
