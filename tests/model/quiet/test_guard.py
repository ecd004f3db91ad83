"""`eval_guard` names the first noise in evaluation, lets training alone, and changes no result."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.zoo.architectures import ARCHITECTURES, named
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import thinned
import thinned.nn

X = torch.ones(2, 5, 8)


class Own(nn.Module):
    """A module with settings, and a layer of its own."""

    def __init__(self, **children: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        for name, child in children.items():
            self.add_module(name, child)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)


class Functional(Own):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.linear(x), 0.3)


class Torch(Own):
    def forward(self, x: Tensor) -> Tensor:
        return torch.dropout(self.linear(x), p=0.3, train=True)


class Attention(Own):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.25)


class Rand(Own):
    def forward(self, x: Tensor) -> Tensor:
        mask = torch.rand(x.shape) > 0.5
        return x * mask  # fmt: skip


class Bernoulli(Own):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.new_empty(x.shape).bernoulli_(0.9)


class Built(Own):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = nn.Dropout(0.4)(x)
        return result


class Python(Own):
    def forward(self, x: Tensor) -> Tensor:
        return x if random.random() < 0.5 else 2 * x


class Numpy(Own):
    def forward(self, x: Tensor) -> Tensor:
        return x if np.random.rand() < 0.5 else 2 * x  # noqa: NPY002


class Ours(Own):
    def forward(self, x: Tensor) -> Tensor:
        return thinned.nn.functional.dropout(x, 0.25)


class Left(Own):
    """A recurrent layer that stays in training mode, as a frozen encoder's may."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.lstm(x)[0]
        return result


LEAKS: dict[str, tuple[type[Own], str, str, float | None]] = {
    "F.dropout": (Functional, "1:dropout", "dropout", 0.3),
    "torch.dropout": (Torch, "1:dropout", "dropout", 0.3),
    "attention": (Attention, "1:scaled_dot_product_attention", "scaled_dot_product_attention", 0.25),
    "rand": (Rand, "1:rand", "rand", None),
    "bernoulli_": (Bernoulli, "1:bernoulli", "bernoulli", 0.1),
    "built in the forward": (Built, "1<Dropout>", "dropout", 0.4),
    "random": (Python, "1:random", "random", None),
    "numpy.random": (Numpy, "1:random", "random", None),
    "thinned": (Ours, "1:dropout", "dropout", 0.25),
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("leak", LEAKS)
def test_every_leak_is_named(leak: str, inference: bool) -> None:
    kind, place, function, p = LEAKS[leak]
    model = nn.Sequential(nn.Linear(8, 8), kind(), nn.Linear(8, 8))
    state = torch.get_rng_state()
    with thinned.eval_guard(model):
        model.train()(X)
        torch.set_rng_state(state)
        model.eval()
        with pytest.raises(thinned.NoiseInEval) as caught, torch.inference_mode(inference):
            model(X)
    error = caught.value
    assert (error.place, error.function, error.p) == (place, function, p)
    assert error.file == __file__
    first = kind.forward.__code__.co_firstlineno
    assert first <= error.line <= first + 3
    mode = "inference mode" if inference else "eval mode"
    assert f"{place!r} must draw no noise in {mode}. Got {function}" in str(error)
    assert f"allow=({place!r},)" in str(error)
    assert torch.equal(torch.get_rng_state(), state) or leak == "thinned"  # which has drawn a key
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []
    assert isinstance(model(X), Tensor)  # removed


@pytest.mark.parametrize(
    "name",
    named(
        [
            "torch/transformer_encoder",
            "torch/lstm_tagger",
            "torchvision/efficientnet_b0",
            "timm/vit_tiny_patch16_224",
            "transformers/BertForSequenceClassification",
            "transformers/BartForConditionalGeneration",
            "transformers/LlamaForCausalLM",
        ]
    ),
)
def test_a_right_model_passes_bit_for_bit_and_a_forgotten_eval_does_not(name: str) -> None:
    model, args, kwargs = ARCHITECTURES[name].made()

    def outcome() -> list[Tensor]:
        with torch.no_grad():
            leaves = torch.utils._pytree.tree_leaves(model(*args, **kwargs))
        return [leaf for leaf in leaves if isinstance(leaf, Tensor)]

    model.eval()
    expected = outcome()
    with thinned.eval_guard(model):
        found = outcome()
        assert all(map(torch.equal, found, expected))
        with torch.inference_mode():
            model(*args, **kwargs)
            model.train()
            with pytest.raises(thinned.NoiseInEval, match=r"Call model\.eval\(\) first"):
                model(*args, **kwargs)
        model(*args, **kwargs)
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def test_the_fused_path_stays_in_use() -> None:
    model = nn.Sequential(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 2)).eval()
    calls: list[str] = []

    class Seen(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls.append(func._schema.name)
            return func(*args, **(kwargs or {}))

    with thinned.eval_guard(model), torch.no_grad(), Seen():  # type: ignore[no-untyped-call]
        model(X)
    assert calls.count("aten::_transformer_encoder_layer_fwd") == 2


def test_a_frozen_part_of_a_training_model_is_guarded() -> None:
    model = nn.Sequential(nn.Dropout(0.1), Functional())
    model.train()[1].eval()
    with thinned.eval_guard(model), pytest.raises(thinned.NoiseInEval, match="'1:dropout'"):
        model(X)


def test_a_part_in_training_mode_draws_by_right() -> None:
    """Monte-Carlo dropout, as people switch it on; inference mode asks for `allow`."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1)).eval()
    model[1].train()
    with thinned.eval_guard(model):
        model(X)
        with (
            pytest.raises(thinned.NoiseInEval, match="'1' must draw no noise in inference mode"),
            torch.inference_mode(),
        ):
            model(X)
    with thinned.eval_guard(model, allow="1"), torch.inference_mode():
        model(X)


def test_allowed_places_draw_and_others_do_not() -> None:
    model = nn.ModuleDict({"mc": nn.Sequential(Functional()), "head": Attention()}).eval()
    guard = thinned.eval_guard(model, allow=("mc.*",))
    model["mc"](X)
    with pytest.raises(thinned.NoiseInEval, match="'head:scaled_dot_product_attention'"):
        model["head"](X)
    guard.remove()
    model["head"](X)


class Two(Own):
    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(x, 0.1, self.training)
        return F.dropout(x, 0.2)


def test_the_second_call_of_a_function_has_its_number() -> None:
    model = Two().eval()
    with thinned.eval_guard(model), pytest.raises(thinned.NoiseInEval) as caught:
        model(X)
    assert caught.value.place == ":dropout#2"
    with thinned.eval_guard(model, allow=(":dropout#2",)):
        model(X)


@pytest.mark.parametrize("pattern", ["mcc.*", "0", "mc.0", "head", "*.dropuot", "moc:dropout", "moc<Dropout>", ""])
def test_a_pattern_that_can_name_no_place_is_refused(pattern: str) -> None:
    model = nn.ModuleDict({"mc": nn.Sequential(Functional()), "head": Attention()}).eval()
    with pytest.raises(ValueError, match="`allow` must name places of the model") as caught:
        thinned.eval_guard(model, allow=("mc.*", pattern))
    assert f"Got {pattern!r}, which matches none. Places: " in str(caught.value)
    assert "head:scaled_dot_product_attention" in str(caught.value) or "mc.0:dropout" in str(caught.value)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_patterns_must_be_text() -> None:
    with pytest.raises(TypeError, match=r"`allow` must be patterns, which are text\. Got 3\."):
        thinned.eval_guard(Functional(), allow=("*", 3))  # type: ignore[arg-type]


class Sampling(Own):
    """A variational autoencoder's noise: no source tells of it, a run does."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


@pytest.mark.parametrize("kind", [Sampling, *(kind for kind, *_ in LEAKS.values())])
def test_what_an_error_says_to_allow_may_be_allowed(kind: type[Own]) -> None:
    model = nn.Sequential(kind()).eval()
    with thinned.eval_guard(model), pytest.raises(thinned.NoiseInEval) as caught:
        model(X)
    with thinned.eval_guard(model, allow=caught.value.place):
        model(X)


@pytest.mark.parametrize("pattern", ["0:randn_like", "0:randn*", "*:randn_like", "*randn_like", "0*", "*", "0:*"])
def test_a_place_that_only_a_run_shows_may_be_allowed(pattern: str) -> None:
    model = nn.Sequential(Sampling()).eval()
    with thinned.eval_guard(model, allow=pattern):
        model(X)


def test_noise_outside_of_the_models_forward_is_not_seen() -> None:
    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(super().forward(x), 0.5)

    model, other = nn.Linear(8, 8).eval(), Noisy(8, 8).eval()
    with thinned.eval_guard(model):
        model(X + torch.randn_like(X))
        other(X)
        nn.init.normal_(model.weight)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_not_guarded(copied: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(Functional()).eval()
    with thinned.eval_guard(model):
        assert isinstance(copied(model)(X), Tensor)


@pytest.mark.skipif(
    torch.__version__.startswith("2.8."),
    reason="torch 2.8 compiles nothing more in a process in which a dispatch mode has raised in several threads",
)
def test_threads_are_guarded_each_for_itself() -> None:
    """Two threads evaluate while one draws outside of the model, and one draws inside of another."""
    model, other = nn.Sequential(Own.__new__(Functional)), nn.Sequential(nn.Dropout(0.5))
    nn.Module.__init__(model[0])
    model[0].linear = nn.Linear(8, 8)
    raised: list[str] = []
    quiet: list[bool] = []

    def evaluate() -> None:
        for _ in range(10):
            try:
                model(X)
            except thinned.NoiseInEval as error:
                raised.append(error.place)

    def draw() -> None:
        for _ in range(50):
            torch.rand(4)
            other(X)
        quiet.append(True)

    with thinned.eval_guard(model.eval()):
        threads = [threading.Thread(target=target) for target in (evaluate, draw, evaluate, draw)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert raised == ["0:dropout"] * 20
    assert quiet == [True, True]


@pytest.fixture
def dynamo() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("dynamo")
def test_a_compiled_model_is_guarded_and_trains_in_one_graph() -> None:
    counter = CompileCounterWithBackend("aot_eager")
    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(Functional()))
    compiled = torch.compile(model, backend=counter)
    with thinned.eval_guard(model):
        compiled(X)
        assert counter.frame_count == 1
        model.eval()
        with pytest.raises(thinned.NoiseInEval, match=r"'1\.0:dropout'"):
            compiled(X)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"`model` must be a torch\.nn\.Module\. Got int"):
        thinned.eval_guard(3)  # type: ignore[arg-type]


class Interrupted(Own):
    interrupt: bool

    def forward(self, x: Tensor) -> Tensor:
        if self.interrupt:
            raise KeyboardInterrupt
        return F.dropout(x, 0.5)


@pytest.mark.parametrize("training", [False, True])
def test_what_an_interrupt_leaves_is_gone_after_the_next_forward(training: bool) -> None:
    inner = Interrupted()
    model = nn.Sequential(inner)
    with thinned.eval_guard(model.eval()):
        inner.interrupt = True
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                model(X)
        inner.interrupt = False
        if training:
            model.train()(X)
        else:
            with pytest.raises(thinned.NoiseInEval):
                model(X)
        assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []
