"""One list of layers, one file a transform: every row of the variants table, in every scaling that it has."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tests.regressions.example import build, run, sample
from torch import Tensor

from thinned.nn.variants import VARIANTS, Variant


@dataclass(frozen=True, slots=True)
class Case:
    """A layer ready to be built and called."""

    variant: Variant
    settings: dict[str, Any]

    def __str__(self) -> str:
        return "-".join((self.variant.name, *self.settings.values()))

    def layer(self, p: float = 0.4) -> torch.nn.Module:
        return build(self.variant, p, **self.settings)

    def sample(self, dtype: torch.dtype = torch.float32) -> Tensor:
        x = sample(self.variant, dtype)
        return x[:3] if self.variant.layout.startswith("T") else x  # a compiled step each

    def call(self, layer: Any, x: Tensor, seed: int) -> Tensor:
        """The output, with the draws of this seed."""
        torch.manual_seed(seed)
        return run(layer, x)

    @staticmethod
    def assign(layer: torch.nn.Module, p: float) -> None:
        """A new rate in every place where the layer has one."""
        for name in ("p", "dropout", "recurrent_dropout"):
            if hasattr(layer, name):
                setattr(layer, name, p)


def _scalings(variant: Variant) -> tuple[dict[str, Any], ...]:
    if "scaling" in inspect.signature(variant.module).parameters:
        return {"scaling": "inverted"}, {"scaling": "classic"}
    return ({},)


CASES = [Case(variant, settings) for variant in VARIANTS for settings in _scalings(variant)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`case`: every layer; `traced`: every layer, where a case takes long; `keyed`: one field of noise on the input."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=str)
    if "traced" in metafunc.fixturenames:
        rest = pytest.mark.compiler
        traced = [pytest.param(row, marks=rest) if row.settings.get("scaling") == "classic" else row for row in CASES]
        metafunc.parametrize("traced", traced, ids=str)
    if "keyed" in metafunc.fixturenames:
        metafunc.parametrize("keyed", [row for row in CASES if row.variant.keyed], ids=str)


@pytest.fixture
def dynamo() -> Iterator[None]:
    """A cache of its own. torch holds recurrent modules back from compilation unless asked."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        yield
    torch._dynamo.reset()
