"""`rates`, `set_rates`, `scale_rates` and `disabled` rate_places every kind of dropout in models as they are."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binom
from tests.zoo.architectures import ARCHITECTURES, named
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import thinned
import thinned.nn

TAIL = 1e-7  # of the binomial distribution, on either side


def outcome(model: nn.Module, *args: Any, **kwargs: Any) -> list[Tensor]:
    torch.manual_seed(0)
    with torch.no_grad():
        leaves = torch.utils._pytree.tree_leaves(model(*args, **kwargs))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def look(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return thinned.inspect(model, *args, passes=2, **kwargs)


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def assert_binomial(count: int, n: int, p: float) -> None:
    assert binom.cdf(count, n, p) > TAIL, (count, n, p)
    assert binom.sf(count - 1, n, p) > TAIL, (count, n, p)


def assert_measured(place: Any, p: float) -> None:
    """The measured rate lies where a binomial of as many draws as one pass has may lie."""
    sizes = [1 if axis in place.shared else size for axis, size in enumerate(place.shape)]
    units = math.prod(sizes) * place.train_calls
    assert_binomial(round(place.measured * units), units, p)


@pytest.fixture
def dynamo() -> Iterator[None]:
    """A cache of its own."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


MODELS = {
    "torch/transformer_encoder": {"Dropout", "MultiheadAttention"},
    "torch/lstm_tagger": {"LSTM"},
    "torchvision/efficientnet_b0": {"Dropout", "StochasticDepth"},
    "torchvision/swin_t": {"StochasticDepth"},
    "timm/vit_tiny_patch16_224": {"Dropout", "scaled_dot_product_attention"},
    "transformers/BertForSequenceClassification": {"Dropout", "scaled_dot_product_attention"},
    "transformers/GPT2LMHeadModel": {"Dropout", "scaled_dot_product_attention"},
    "transformers/LlamaForCausalLM": {"scaled_dot_product_attention"},
    "transformers/BartForConditionalGeneration": {"dropout", "scaled_dot_product_attention", "LayerDrop"},
}


@pytest.mark.parametrize("name", named(MODELS))
def test_every_place_of_a_real_model_drops_at_its_new_p(name: str) -> None:
    """By the source alone, one p for each place; those that read one attribute get theirs as well."""
    model, args, kwargs = ARCHITECTURES[name].made()
    keys = [*model.state_dict()]
    torch.manual_seed(1)
    names = [place.name for place in look(model, args, kwargs).places if place.line]
    # Layer drop stays low, so that its layers run.
    wanted = {
        place: 0.01 if place.endswith("LayerDrop") else round(0.2 + 0.3 * number / len(names), 4)
        for number, place in enumerate(names)
    }
    thinned.set_rates(model, wanted)
    found = thinned.rates(model)
    assert {place: found[place] for place in names} == wanted
    places = {place.name: place for place in look(model, args, kwargs).places}
    assert MODELS[name] <= {place.kind for place in places.values()}
    for place in names:
        assert places[place].active in ("train", "never")
        if places[place].measured is not None and places[place].active == "train":
            assert_measured(places[place], wanted[place])
    assert [*model.state_dict()] == keys


@pytest.mark.parametrize("name", named(name for name in MODELS if "efficientnet" not in name))
def test_disabled_is_evaluation_bit_for_bit(name: str) -> None:
    model, args, kwargs = ARCHITECTURES[name].made()
    before = thinned.rates(model)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it rounds otherwise
    try:
        evaluated = outcome(model.eval(), *args, **kwargs)
        assert not same(outcome(model.train(), *args, **kwargs), evaluated)
        with thinned.disabled(model):
            assert same(outcome(model, *args, **kwargs), evaluated)
            assert all(module.training for module in model.modules())
            assert set(thinned.rates(model).values()) == {0.0}
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    assert thinned.rates(model) == before
    assert not same(outcome(model, *args, **kwargs), evaluated)


# Masks and calls of every form.


class Own(nn.Module):
    """A model with one function for its forward, and settings."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        for name, value in settings.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)


class Call(Own):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, p=self.rate, training=self.training)


class Bare(Own):
    def forward(self, x: Tensor) -> Tensor:
        return torch.dropout(x, self.p if self.training else 0.0, True)


class Rand(Own):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        mask = torch.rand(x.shape) > self.p
        result: Tensor = x * mask / (1.0 - self.p)
        return result


class Full(Own):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x * torch.bernoulli(torch.full(x.shape, 1 - self.p)) / (1 - self.p)
        return x


class Kept(Own):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            keep = self.keep_prob
            x = x * x.new_empty(x.shape).bernoulli_(keep) / keep
        return x


class Path(Own):
    """As in the first drop paths: the floor of a uniform number and the keep probability."""

    def forward(self, x: Tensor) -> Tensor:
        return self._drop(x, self.drop_prob) if self.training else x

    def _drop(self, x: Tensor, drop_prob: float = 0.0) -> Tensor:
        keep = 1 - drop_prob
        noise = keep + torch.rand(x.shape)
        return x.div(keep) * noise.floor_()


class Configured(Own):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.config.dropout, self.training)


class Sub(Own):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.drop.p if self.training else 0.0)


class Constant(Own):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, self.training)


class Built(Own):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = nn.Dropout(0.5)(x)
        return result


class Ours(Own):
    def forward(self, x: Tensor) -> Tensor:
        return thinned.nn.functional.dropout(x, self.p, self.training)


class OursConstant(Own):
    def forward(self, x: Tensor) -> Tensor:
        return thinned.nn.functional.dropout(x, 0.5, self.training)


FORMS: dict[str, Callable[[], nn.Module]] = {
    "F.dropout, an attribute": lambda: Call(rate=0.1),
    "torch.dropout": lambda: Bare(p=0.1),
    "rand": lambda: Rand(p=0.1),
    "bernoulli of full": lambda: Full(p=0.1),
    "bernoulli_ of a keep probability": lambda: Kept(keep_prob=0.9),
    "floor of rand": lambda: Path(drop_prob=0.1),
    "a configuration": lambda: Configured(config=SimpleNamespace(dropout=0.1)),
    "a child's p": lambda: Sub(drop=nn.Dropout(0.1)),
    "F.dropout, a constant": Constant,
    "a module built in the forward": Built,
    "thinned's function": lambda: Ours(p=0.1),
    "thinned's function, a constant": OursConstant,
    "thinned.nn.Dropout": lambda: nn.Sequential(thinned.nn.Dropout(0.1)),
    "AlphaDropout": lambda: nn.Sequential(nn.AlphaDropout(0.1)),
}
ONES = torch.ones(64, 64)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_dropout(form: str) -> None:
    model = nn.Sequential(FORMS[form]())
    torch.manual_seed(2)
    for p in (0.2, 0.45):
        assert p in thinned.set_rates(model, {"*": p}).values()
        kept = (model(ONES) > 0).sum().item()
        assert_binomial(kept, ONES.numel(), 1 - p)
    with thinned.disabled(model):
        assert torch.equal(model(ONES), ONES)
    assert not torch.equal(model(ONES) > 0, model(ONES) > 0)
    assert all(math.isclose(p, 0.45) for p in thinned.rates(model).values())


class Attention(Own):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.2)


def test_a_leak_in_evaluation_can_be_disabled() -> None:
    model, x = Attention().eval(), torch.ones(1, 1, 64, 64)
    assert not torch.equal(model(x), x)
    with thinned.disabled(model):
        assert torch.allclose(model(x), x)
    thinned.set_rates(model, {":scaled_dot_product_attention": 0.0})
    assert torch.allclose(model(x), x)
    assert torch.overrides._get_current_function_mode_stack() == []


class Masked(Own):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.bernoulli(torch.full(x.shape, 0.9)) / 0.9


def test_what_cannot_be_reached_is_named_and_nothing_is_changed() -> None:
    model = nn.Sequential(nn.Dropout(0.1), Masked())
    line = Masked.forward.__code__.co_firstlineno + 1
    with pytest.raises(ValueError, match=rf"'1:bernoulli' \(.*test_rates.py:{line}\) must be within reach"):
        thinned.set_rates(model, {"*": 0.3})
    with pytest.raises(ValueError, match="1:bernoulli"), thinned.disabled(model):
        pass
    assert thinned.rates(model) == {"0": 0.1, "1:bernoulli": pytest.approx(0.1)}
    assert thinned.set_rates(model, {"0": 0.3}) == {"0": 0.3}


# A p in the code.


def test_an_override_is_copied_pickled_and_removed_at_the_codes_own_p() -> None:
    model = nn.Sequential(Constant())
    assert thinned.set_rates(model, {"*": 0.0}) == {"0:dropout": 0.0}
    assert not model.state_dict()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(ONES), ONES)
        thinned.set_rates(other, {"*": 1.0})
        assert not other(ONES).any()
    assert torch.equal(model(ONES), ONES)
    thinned.set_rates(model, {"*": 0.5})
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks
    assert not torch.equal(model(ONES), ONES)


class Gaussian(Own):
    def forward(self, x: Tensor) -> Tensor:
        return thinned.nn.functional.gaussian_dropout(x, 0.5, self.training)


class GaussianOnce(Own):
    def forward(self, x: Tensor) -> Tensor:
        return thinned.nn.functional.gaussian_dropout(x, 1.0, self.training)


@pytest.mark.parametrize("example", [None, ONES])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.45, 1.0])
def test_gaussian_noise_with_a_p_in_the_code_has_the_variance_of_the_new_one(p: float, example: Tensor | None) -> None:
    model = nn.Sequential(Gaussian())
    assert thinned.set_rates(model, {"*": p}, example=example) == {"0:gaussian_dropout": p}
    assert thinned.rates(model) == {"0:gaussian_dropout": p}
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.manual_seed(4)
        found = other(ONES)
        torch.manual_seed(4)
        assert torch.equal(found, thinned.nn.functional.gaussian_dropout(ONES, p))
    assert torch.equal(model.eval()(ONES), ONES)
    with thinned.disabled(model.train()):
        assert torch.equal(model(ONES), ONES)
    thinned.set_rates(model, {"*": 0.5})
    assert not model[0]._forward_hooks


def test_gaussian_noise_of_p_1_in_the_code_is_out_of_reach() -> None:
    """It is zeros, made by an operator that has no variance."""
    with pytest.raises(ValueError, match=r"'0:gaussian_dropout' \(.*\) must be within reach"):
        thinned.set_rates(nn.Sequential(GaussianOnce()), {"*": 0.2})


class Raises(Own):
    def forward(self, x: Tensor) -> Tensor:
        if F.dropout(x, 0.5, self.training).sum() >= 0:
            raise ZeroDivisionError
        return x


def test_no_mode_is_left_behind_by_an_exception() -> None:
    model = Raises()
    thinned.set_rates(model, {"*": 0.1})
    with pytest.raises(ZeroDivisionError):
        model(ONES)
    assert torch.overrides._get_current_function_mode_stack() == []


class Nested(Own):
    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(x, 0.5, self.training)
        result: Tensor = x if self.inner is None else self.inner(x)
        return result


def test_an_override_is_one_modules_own() -> None:
    model = Nested(inner=Nested(inner=None))
    thinned.set_rates(model, {":dropout": 0.0})
    assert thinned.rates(model) == {":dropout": 0.0, "inner:dropout": 0.5}
    torch.manual_seed(3)
    assert_binomial(int((model(ONES) > 0).sum()), ONES.numel(), 0.5)


def test_threads_have_their_own_calls() -> None:
    model = Nested(inner=None)
    thinned.set_rates(model, {"*": 0.0})
    equal: list[bool] = []
    threads = [
        threading.Thread(target=lambda: equal.extend(torch.equal(model(ONES), ONES) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert equal == [True] * 80


@pytest.mark.compiler
@pytest.mark.usefixtures("dynamo")
def test_an_override_leaves_its_module_to_eager_mode_when_compiled() -> None:
    model = nn.Sequential(nn.Dropout(0.0), Constant())
    thinned.set_rates(model, {"1:dropout": 0.0})
    # torch 2.8 says only that there was an exception, without its text.
    message = "Observed exception" if torch.__version__.startswith("2.8.") else "p in the code of Constant"
    with pytest.raises(torch._dynamo.exc.Unsupported, match=message):
        torch.compile(model, backend="eager", fullgraph=True)(ONES)
    compiled = torch.compile(model, backend="eager")
    for p in (0.0, 1.0, 0.0):
        thinned.set_rates(model, {"1:dropout": p})
        assert torch.equal(compiled(ONES), (1 - p) * ONES)


@pytest.mark.usefixtures("dynamo")
def test_fifty_rates_of_our_layers_are_one_graph() -> None:
    model = nn.Sequential(thinned.nn.Dropout(0.5), nn.Linear(8, 8), thinned.nn.StochasticDepth(0.5))
    counter = CompileCounterWithBackend("aot_eager")
    compiled: Any = torch.compile(model, fullgraph=True, backend=counter)
    for step in range(50):
        thinned.set_rates(compiled, {"*": step / 49})
        compiled(torch.ones(2, 8))
    with thinned.disabled(compiled):
        assert torch.equal(compiled(torch.ones(2, 8)), model[1](torch.ones(2, 8)))
    assert counter.frame_count == 1


# Patterns.


def net() -> nn.Sequential:
    return nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.2), nn.Dropout(0.4)))


def test_later_patterns_win() -> None:
    model = net()
    assert thinned.set_rates(model, {"*": 0.3, "1.*": 0.2, "1.1": 0.0}) == {"0": 0.3, "1.1": 0.0}
    assert thinned.rates(model) == {"0": 0.3, "1.0": 0.2, "1.1": 0.0}


def test_a_pattern_that_matches_nothing_lists_what_is_near() -> None:
    model = nn.ModuleDict({"encoder": net(), "head": nn.Dropout(0.1)})
    with pytest.raises(ValueError, match=r"Got 'encodr\.0', which matches none\. Places: encoder\.0, .*`example`"):
        thinned.set_rates(model, {"*": 0.3, "encodr.0": 0.2})
    assert thinned.rates(model)["head"] == 0.1


@pytest.mark.parametrize(
    ("rates", "error", "message"),
    [
        ({"*": 20}, ValueError, "If 20 % was meant, pass 0.2"),
        ({"*": "0.1"}, TypeError, "Pass the number 0.1, not text"),
        ([0.1], TypeError, "must be a mapping"),
        ({3: 0.1}, TypeError, "a pattern must be text. Got 3. Pass '\\*' for all places"),
    ],
)
def test_bad_rates(rates: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        thinned.set_rates(net(), rates)


def test_scaled_rates() -> None:
    model = net()
    assert thinned.scale_rates(model, 2, "1.*") == {"1.0": 0.4, "1.1": 0.8}
    with pytest.raises(ValueError, match=r"p must stay in \[0, 1\]. Got 0.8 \* 2 = 1.6 at '1.1'"):
        thinned.scale_rates(model, 2)
    assert thinned.rates(model) == {"0": 0.1, "1.0": 0.4, "1.1": 0.8}
    with pytest.raises(ValueError, match="`factor` must be a finite number"):
        thinned.scale_rates(model, math.inf)


def test_a_call_and_the_module_whose_p_it_reads_are_scaled_once() -> None:
    model = Sub(drop=nn.Dropout(0.1))
    thinned.scale_rates(model, 2)
    assert thinned.rates(model) == {":dropout": 0.2, "drop": 0.2}


class Two(Own):
    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(x, self.p, self.training)
        return F.dropout(x, self.p, self.training)


def test_two_calls_that_read_one_attribute_can_differ() -> None:
    model = Two(p=0.1)
    assert thinned.set_rates(model, {":dropout#2": 0.5}) == {":dropout#2": 0.5}
    assert model.p == 0.1
    thinned.set_rates(model, {"*": 0.3})
    assert model.p == 0.3
    assert not model._forward_hooks


def test_modules_that_share_a_configuration_can_differ() -> None:
    config = SimpleNamespace(dropout=0.1)
    model = nn.Sequential(Configured(config=config), Configured(config=config))
    thinned.set_rates(model, {"0:*": 0.5})
    assert thinned.rates(model) == {"0:dropout": 0.5, "1:dropout": 0.1}
    thinned.set_rates(model, {"*": 0.2})
    assert config.dropout == 0.2
    assert not model[0]._forward_hooks


# disabled.


def test_disabled_is_exact_nested_and_undone_after_an_exception() -> None:
    model = net()
    thinned.set_rates(model, {"0": 1 / 3})
    with thinned.disabled(model, "1.*"):
        assert [*thinned.rates(model).values()] == [1 / 3, 0.0, 0.0]
        with thinned.disabled(model):
            assert {*thinned.rates(model).values()} == {0.0}
        assert [*thinned.rates(model).values()] == [1 / 3, 0.0, 0.0]
        with pytest.raises(KeyError), thinned.disabled(model, "0"):
            raise KeyError
        assert [*thinned.rates(model).values()] == [1 / 3, 0.0, 0.0]
    assert [*thinned.rates(model).values()] == [1 / 3, 0.2, 0.4]


def test_disabled_layers_with_classic_scaling_multiply_by_q() -> None:
    layer = thinned.nn.Dropout(0.25, scaling="classic")
    with thinned.disabled(nn.Sequential(layer)):
        assert torch.equal(layer(ONES), 0.75 * ONES)
    assert (layer.training, layer.p) == (True, 0.25)


def test_a_model_without_dropout_is_disabled_already() -> None:
    with thinned.disabled(nn.Linear(2, 2)):
        pass


# With an example.


def sourceless() -> nn.Module:
    names: dict[str, Any] = {"F": F}
    exec("def forward(self, x):\n    return F.dropout(x, 0.5, self.training)\n", names)
    kind: type[nn.Module] = type("Sourceless", (nn.Module,), {"forward": names["forward"]})
    return kind()


def test_an_example_finds_what_no_source_tells() -> None:
    model = nn.Sequential(Call(rate=0.1), sourceless())
    assert thinned.rates(model) == {"0:dropout": 0.1}
    with pytest.raises(ValueError, match="Pass `example`"):
        thinned.set_rates(model, {"1:*": 0.0})


def test_with_an_example_a_dead_knob_is_an_error() -> None:
    """transformers 29140: DINOv2's drop path was configured and never applied."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1))
    model[0].drop_path = nn.Dropout(0.2)
    assert thinned.set_rates(model, {"0.drop_path": 0.3}) == {"0.drop_path": 0.3}
    with pytest.raises(ValueError, match=r"0\.drop_path never ran on the example"):
        thinned.set_rates(model, {"0.drop_path": 0.1}, example=torch.ones(2, 8))
    assert thinned.rates(model) == {"0.drop_path": 0.3, "1": 0.1}


class Misnamed(Own):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x * torch.bernoulli(torch.full(x.shape, self.alive)) / self.alive
        return result


def test_with_an_example_a_keep_probability_is_found_out() -> None:
    model = Misnamed(alive=0.5)
    with pytest.raises(ValueError, match=r"Misnamed\.alive is taken for .* Nothing is changed"):
        thinned.set_rates(model, {"*": 0.1}, example=ONES)
    assert model.alive == 0.5


# What people report.


@pytest.mark.zoo
def test_config_changed_after_load() -> None:
    """transformers 14914, 8443: the configuration is read once; the modules are what to set."""
    model, _, kwargs = ARCHITECTURES["transformers/BertForSequenceClassification"].made()
    before = outcome(model.train(), **kwargs)
    config: Any = model.config
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    assert same(outcome(model, **kwargs), before)
    thinned.set_rates(model, {"*": 0.0})
    assert same(outcome(model, **kwargs), outcome(model.eval(), **kwargs))


@pytest.mark.zoo
def test_disable_dropout_that_misses_functional() -> None:
    """LlamaFactory PR 10779, trl 4 ff.: setting the p of nn.Dropout leaves functional and attention dropout on."""
    model, _, kwargs = ARCHITECTURES["transformers/LlamaForCausalLM"].made()
    evaluated = outcome(model.eval(), **kwargs)
    for module in model.train().modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert not same(outcome(model, **kwargs), evaluated)
    thinned.set_rates(model, {"*": 0.0})
    assert same(outcome(model, **kwargs), evaluated)


@pytest.mark.zoo
def test_one_multiplier_for_a_whole_model() -> None:
    """fastai's drop_mult."""
    model, _, _ = ARCHITECTURES["transformers/GPT2LMHeadModel"].made()
    before: Mapping[str, float] = thinned.rates(model)
    thinned.scale_rates(model, 0.5)
    assert thinned.rates(model) == {name: p * 0.5 for name, p in before.items()}


def paths_and_blocks(p: float) -> nn.Module:
    """What libraries call their own: whole samples, blocks of a map and patches, each behind a layer."""
    from timm.layers.drop import DropBlock2d, DropPath
    from torchvision.ops import DropBlock2d as Torchvisions
    from torchvision.ops import StochasticDepth
    from transformers.models.convnext.modeling_convnext import ConvNextDropPath

    layers = DropBlock2d(p, 3), Torchvisions(p, 3), DropPath(p), StochasticDepth(p, "row"), ConvNextDropPath(p)
    return nn.Sequential(*(part for layer in layers for part in (nn.Identity(), layer)))


@pytest.mark.zoo
def test_paths_and_blocks_of_libraries_do_what_they_do_when_made_with_that_p() -> None:
    x = torch.rand(16, 4, 12, 12) + 1
    model, made = paths_and_blocks(0.1), paths_and_blocks(0.3)
    assert thinned.set_rates(model, {"*": 0.3}) == dict.fromkeys("13579", 0.3)
    assert same(outcome(model, x), outcome(made, x))
    assert not same(outcome(model, x), [x])
    with thinned.disabled(model):
        assert same(outcome(model, x), [x])
    with (
        thinned.eval_guard(model),
        pytest.raises(thinned.NoiseInEval, match="'1' must draw no noise in inference mode"),
    ):
        torch.inference_mode()(model)(x)


@pytest.mark.zoo
def test_layers_are_left_out_at_the_new_rate_of_layer_drop() -> None:
    model, _, kwargs = ARCHITECTURES["transformers/BartForConditionalGeneration"].made()
    thinned.set_rates(model.train(), {"*:LayerDrop": 0.3})
    ran: list[nn.Module] = []
    for name, module in model.named_modules():
        if name.rpartition(".")[0].endswith("coder.layers"):
            module.register_forward_hook(lambda layer, *_: ran.append(layer))
    torch.manual_seed(4)
    passes = 50
    with torch.no_grad():
        for _ in range(passes):
            model(**kwargs)
    assert_binomial(len(ran), 4 * passes, 0.7)


class Interrupted(Own):
    interrupt: bool

    def forward(self, x: Tensor) -> Tensor:
        if self.interrupt:
            raise KeyboardInterrupt
        return F.dropout(x, 0.5, self.training)


def test_what_an_interrupt_leaves_is_gone_after_the_next_forward() -> None:
    """Hooks of torch's are not run for a KeyboardInterrupt."""
    inner = Interrupted(interrupt=False)
    model = nn.Sequential(inner)
    thinned.set_rates(model, {"*": 0.0})
    inner.interrupt = True
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            model(ONES)
    inner.interrupt = False
    thinned.set_rates(model, {"*": 0.25})
    assert_binomial(int((model(ONES) > 0).sum()), ONES.numel(), 0.75)
    assert torch.overrides._get_current_function_mode_stack() == []
