"""The configuration of a model is kept in step with its rates, so that what is saved with it has them."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import thinned


class Settings:
    """A configuration as Hugging Face's: fields, a configuration inside, and `to_dict`."""

    def __init__(self) -> None:
        self.hidden_dropout, self.attn_drop, self.head_dropout, self.dropout_seed = 0.1, 0.1, None, 3
        self.inner = Inner()

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


class Inner:
    def __init__(self) -> None:
        self.drop_path = 0.1

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


class Configured(nn.Module):
    config_class: ClassVar[type] = Settings

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.first, self.second = nn.Dropout(config.hidden_dropout), nn.Dropout(config.hidden_dropout)
        self.attention = nn.MultiheadAttention(8, 2, config.attn_drop)
        self.path = nn.Dropout(config.inner.drop_path)
        self.head = nn.Dropout(config.hidden_dropout if config.head_dropout is None else config.head_dropout)
        self.weight = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.path(self.second(self.first(x))))
        return result


def again(model: Any) -> dict[str, float]:
    return thinned.rates(Configured(model.config))


def test_each_field_has_the_p_of_its_places() -> None:
    model = Configured(Settings())
    state = torch.get_rng_state()
    thinned.set_rates(model, {"*": 0.3, "attention": 0.2, "path": 0.05})
    assert torch.equal(torch.get_rng_state(), state)
    assert again(model) == thinned.rates(model)
    assert vars(model.config.inner) == {"drop_path": 0.05}
    assert model.config.head_dropout is None  # it follows hidden_dropout, as before
    assert model.config.dropout_seed == 3
    thinned.set_rates(model, {"head": 0.5})
    assert again(model) == thinned.rates(model)
    thinned.scale_rates(model, 0.5)
    assert again(model) == thinned.rates(model)
    thinned.set_rates(model, {"*": 0.3})
    assert again(model) == thinned.rates(model)


def test_a_field_whose_places_differ_stays_and_an_error_changes_nothing() -> None:
    model = Configured(Settings())
    thinned.set_rates(model, {"first": 0.3, "attention": 0.4})
    assert (model.config.hidden_dropout, model.config.attn_drop) == (0.1, 0.4)
    with pytest.raises(ValueError, match="If 20 % was meant"):
        thinned.set_rates(model, {"*": 20})
    with thinned.disabled(model):
        assert model.config.attn_drop == 0.4
    thinned.set_rates(model, {"second": 0.3, "head": 0.3})
    assert again(model) == thinned.rates(model)


def test_rates_that_are_loaded_and_a_model_inside_another(tmp_path: Path) -> None:
    first, second = (nn.Sequential(nn.Linear(2, 2), Configured(Settings())) for _ in range(2))
    thinned.set_rates(first, {"1.*": 0.25})
    thinned.save_rates(first, tmp_path / "rates.toml")
    thinned.load_rates(second, tmp_path / "rates.toml")
    for model in (first, second):
        assert again(model[1]) == {name.removeprefix("1."): p for name, p in thinned.rates(model).items()}
        inner: Any = model[1]
        assert inner.config.hidden_dropout == 0.25


def test_a_model_that_takes_more_than_its_configuration_says_so() -> None:
    class More(Configured):
        def __init__(self, config: Any, more: int) -> None:
            super().__init__(config)

    model = More(Settings(), 1)
    with pytest.warns(UserWarning, match="the configuration of More is not kept in step, .* with thinned.save_rates"):
        thinned.set_rates(model, {"*": 0.3})
    assert {*thinned.rates(model).values()} == {0.3}
    assert model.config.hidden_dropout == 0.1


class Adapted(nn.Module):
    """As PEFT builds its layers: a dropout for each adapter, and a configuration for each."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.lora_dropout = (
            nn.Linear(8, 8),
            nn.ModuleDict({"default": nn.Dropout(0.1), "b": nn.Dropout(0.1)}),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(self.lora_dropout["default"](x))
        return result


def test_the_configuration_of_adapters_too() -> None:
    model = nn.Sequential(Adapted(), Adapted())
    configs = {name: SimpleNamespace(lora_dropout=0.1) for name in ("default", "b")}
    vars(model)["peft_config"] = configs
    thinned.set_rates(model, {"*.lora_dropout.default": 0.3, "0.lora_dropout.b": 0.2})
    assert (configs["default"].lora_dropout, configs["b"].lora_dropout) == (0.3, 0.1)
    thinned.set_rates(model, {"*.lora_dropout.*": 0.05})
    assert {config.lora_dropout for config in configs.values()} == {0.05}


def test_no_model_with_a_configuration_is_silent() -> None:
    model: Any = nn.Sequential(nn.Dropout(0.1))
    model.config = {"dropout": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        thinned.set_rates(model, {"*": 0.3})
    assert model.config == {"dropout": 0.1}


@pytest.mark.zoo
def test_set_rates_survives_save_pretrained(tmp_path: Path) -> None:
    """0.3 came back as 0.1."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=17, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    for rates in ({"*": 0.3}, {"*self*": 0.05}, {"dropout": 0.5}, {"*": 0.0}, {"*": 0.2}):
        thinned.set_rates(model, rates)
        model.save_pretrained(tmp_path)
        loaded = type(model).from_pretrained(tmp_path)
        assert thinned.rates(loaded) == thinned.rates(model)
