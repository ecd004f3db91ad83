"""Off, or an error that names the place: for noise wherever a forward may draw it, by reading or by running."""

from __future__ import annotations

import copy
import functools
import pickle
import random
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional as F

import thinned
import thinned.nn

X = torch.ones(64, 8)
GLOBAL = nn.Dropout(0.5)
GLOBALS: dict[str, Any] = {"a": nn.Dropout(0.5), "b": [nn.Dropout(0.25)]}


class Runs(nn.Module):
    """A model whose forward is a function of it and the input."""

    def __init__(self, run: Callable[..., Tensor], **settings: Any) -> None:
        super().__init__()
        self.run = run
        for name, value in settings.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


@dataclass
class Record:
    drop: nn.Module


class Slots:
    __slots__ = ("drop",)

    def __init__(self, drop: nn.Module) -> None:
        self.drop = drop


def each(model: Any, x: Tensor) -> Tensor:
    for drop in model.drops:
        x = drop(x)
    return x


def table(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.table["b"](model.table["a"](x))
    return result


def held(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.holder.drop(x)
    return result


def called(model: Any, x: Tensor) -> Tensor:
    result: Tensor = model.function(x)
    return result


def by_name(model: Any, x: Tensor) -> Tensor:
    result: Tensor = getattr(F, "drop" + model.ending)(x, 0.5)
    return result


def closed(drop: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: drop(x)


def two(first: float = 0.5) -> tuple[nn.Module, nn.Module]:
    return nn.Dropout(first), nn.Dropout(0.25)


def dropping(x: Tensor) -> Tensor:
    return F.dropout(x, 0.5)


def sourceless(code: str) -> nn.Module:
    names: dict[str, Any] = {"F": F, "torch": torch}
    exec(f"def forward(self, x):\n    return {code}\n", names)
    kind: type[nn.Module] = type("Sourceless", (nn.Module,), {"forward": names["forward"]})
    return kind()


def hooked(model: nn.Module, drop: Callable[[Tensor], Tensor]) -> nn.Module:
    model.register_forward_hook(lambda _, __, output: drop(output))
    return model


def before(model: nn.Module, drop: Callable[[Tensor], Tensor]) -> nn.Module:
    model.register_forward_pre_hook(lambda _, inputs: (drop(inputs[0]),))
    return model


def exported() -> nn.Module:
    program = torch.export.export(nn.Sequential(nn.Linear(8, 8), *two()).train(), (X,))
    return program.module()


def scripted(model: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, that it is old
        result: nn.Module = torch.jit.script(model)
    return result


class ClassHolds(nn.Module):
    drops: ClassVar[list[nn.Module]] = [nn.Dropout(0.5), nn.Dropout(0.25)]

    def forward(self, x: Tensor) -> Tensor:
        return each(self, x)


class Called:
    def __init__(self, p: float) -> None:
        self.p = p

    def __call__(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p)


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(F.dropout(x, 0.5), 0.25)


class Scripted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x, 0.5, True)


# What has a p that is set, or a call that is changed: `disabled` switches it off.
DROPS: dict[str, Callable[[], nn.Module]] = {
    "a list": lambda: Runs(each, drops=[*two()]),
    "a tuple": lambda: Runs(each, drops=two()),
    "a dictionary": lambda: Runs(table, table=dict(zip("ab", two(), strict=True))),
    "nested": lambda: Runs(table, table={"a": nn.Sequential(nn.Dropout(0.5)), "b": closed(nn.Dropout(0.25))}),
    "a namespace": lambda: Runs(held, holder=SimpleNamespace(drop=nn.Dropout(0.5))),
    "a dataclass": lambda: Runs(held, holder=Record(nn.Dropout(0.5))),
    "slots": lambda: Runs(held, holder=Slots(nn.Dropout(0.5))),
    "of the class": ClassHolds,
    "a global dictionary": lambda: Runs(lambda m, x: GLOBALS["b"][0](GLOBALS["a"](x))),
    "an object that is called": lambda: Runs(called, function=Called(0.5)),
    "compiled inside": lambda: Runs(called, function=torch.compile(dropping, backend="eager")),
    "a graph of torch.fx": lambda: torch.fx.symbolic_trace(Functional()),
    "an attribute": lambda: Runs(lambda m, x: m.drop(x, 0.5, True), drop=F.dropout),
    "a lambda": lambda: Runs(called, function=lambda x: F.dropout(x, 0.5)),
    "a lambda with a global": lambda: Runs(called, function=lambda x: GLOBAL(x)),
    "a partial": lambda: Runs(called, function=functools.partial(F.dropout, p=0.5)),
    "a partial of a module": lambda: Runs(called, function=functools.partial(nn.Dropout(0.5))),
    "a closure": lambda: Runs(called, function=closed(nn.Dropout(0.5))),
    "a function table": lambda: Runs(lambda m, x: m.table["drop"](x, 0.5), table={"drop": F.dropout}),
    "getattr": lambda: Runs(by_name, ending="out"),
    "a loop over functions": lambda: Runs(each, drops=[lambda x: F.dropout(x, 0.5), functools.partial(F.dropout)]),
    "a hook": lambda: hooked(nn.Linear(8, 8), F.dropout),
    "a hook on a child": lambda: nn.Sequential(hooked(nn.Linear(8, 8), lambda x: F.dropout(x, 0.5))),
    "a hook's module": lambda: hooked(nn.Linear(8, 8), nn.Dropout(0.5)),
    "a pre-hook": lambda: before(nn.Linear(8, 8), F.dropout),
    "no source": lambda: sourceless("F.dropout(x, 0.5)"),
    "no source, twice": lambda: nn.Sequential(sourceless("torch.dropout(F.alpha_dropout(x, 0.1, True), 0.5, True)")),
    "attention": lambda: Runs(lambda m, x: F.scaled_dot_product_attention(x, x, x, **m.how), how={"dropout_p": 0.5}),
    "ours, by a key": lambda: Runs(called, function=lambda x: thinned.nn.functional.dropout(x, 0.5)),
    "rrelu": lambda: Runs(lambda m, x: F.rrelu(-x, training=True)),
    "an exported program": exported,
    "TorchScript": lambda: scripted(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))),
    "an attribute called train": lambda: Runs(lambda m, x: m.drop(x), drop=nn.Dropout(0.5), train=True),
}
# What has no p: an error names it.
DRAWS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a distribution": (
        lambda: Runs(lambda m, x: x * torch.distributions.Bernoulli(torch.full_like(x, 0.5)).sample()),
        ":bernoulli",
    ),
    "a normal sample": (lambda: Runs(lambda m, x: x + torch.distributions.Normal(0, 1).rsample(x.shape)), ":normal"),
    "a mask": (lambda: Runs(lambda m, x: x * (torch.rand(x.shape) > 0.5)), ":rand"),
    "a mask of bernoulli": (lambda: Runs(lambda m, x: x * torch.bernoulli(torch.full_like(x, 0.5))), ":bernoulli"),
    "noise": (lambda: nn.Sequential(Runs(lambda m, x: x + torch.randn_like(x))), "0:randn_like"),
    "gumbel": (lambda: Runs(lambda m, x: F.gumbel_softmax(x)), ":gumbel_softmax"),
    "random": (lambda: Runs(lambda m, x: x * random.random()), ":random"),
    "random's own": (lambda: Runs(lambda m, x: x * m.generator.random(), generator=random.Random(0)), ":random"),
    "NumPy's own": (lambda: Runs(lambda m, x: x * m.of[0].random(), of=[np.random.default_rng(0)]), ":random"),
    "a generator": (lambda: Runs(lambda m, x: x * torch.rand(1, generator=m.of), of=torch.Generator()), ":rand"),
    "TorchScript": (lambda: nn.Sequential(scripted(Scripted())), "0:"),
}


def quiet(model: nn.Module) -> bool:
    return torch.equal(model(X), model(X))


def raised(model: nn.Module, kind: type[thinned.NoiseLeft]) -> thinned.NoiseLeft | None:
    """The error of a model that draws; None if it is quiet."""
    try:
        assert quiet(model)
    except kind as error:
        return error
    return None


@pytest.mark.parametrize("form", DROPS)
def test_disabled_switches_it_off_and_on_again(form: str) -> None:
    model = DROPS[form]()
    assert not quiet(model)
    with thinned.disabled(model):
        assert quiet(model)
    assert not quiet(model)
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []
    assert torch.overrides._get_current_function_mode_stack() == []


@pytest.mark.parametrize("form", DRAWS)
def test_disabled_names_what_it_cannot_switch_off(form: str) -> None:
    make, name = DRAWS[form]
    model = make()
    with pytest.raises((thinned.NoiseLeft, ValueError), match=f"`disabled`: '{name}"), thinned.disabled(model):
        model(X)
    with thinned.disabled(model, allow=("*",)):
        assert not quiet(model)
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []


@pytest.mark.parametrize("form", [*DROPS, *DRAWS])
def test_a_frozen_part_is_off_or_names_the_place(form: str) -> None:
    model = DROPS[form]() if form in DROPS and form != "TorchScript" else DRAWS[form][0]()
    thinned.freeze(model)
    error = raised(model, thinned.NoiseLeft)
    assert error is not None or form in DROPS
    assert error is None or ("`freeze`" in str(error) and error.function and error.place)
    thinned.thaw(model)
    assert not any(type(hook).__module__.startswith("thinned") for hook in model._forward_hooks.values())


def test_layers_of_torch_that_draw_in_both_modes() -> None:
    model = nn.Sequential(nn.FractionalMaxPool2d(2, 4)).eval()
    for silent in (thinned.disabled(model), thinned.eval_guard(model)):
        with silent, pytest.raises(thinned.NoiseLeft, match="'0:rand' must draw no noise"):
            model(torch.ones(1, 8, 8))
    thinned.freeze(model)
    with pytest.raises(thinned.NoiseLeft, match="'0:rand' must draw no noise in a frozen part"):
        model(torch.ones(1, 8, 8))


def test_noise_that_comes_later_in_a_frozen_part_is_found_too() -> None:
    """The first pass is watched call by call, later ones by the generators."""
    model: Any = Runs(lambda m, x: F.dropout(x, 0.5) if m.late else x, late=False)
    frozen = thinned.freeze(model)
    for _ in range(3):
        model(X)
    model.late = True
    for _ in range(2):
        with pytest.raises(
            thinned.NoiseLeft, match=r"':dropout' must draw no noise .* Got dropout with p = 0.5 at"
        ) as e:
            model(X)
        assert e.value.file == __file__
    twin = pickle.loads(pickle.dumps(copy.deepcopy(nn.Sequential(thinned.freeze(Scripted()).module))))
    with pytest.raises(thinned.NoiseLeft, match="':dropout'"):
        twin(X)
    frozen.thaw()
    assert not quiet(model)


def test_another_thread_that_draws_does_not_disturb_a_frozen_part() -> None:
    model = Runs(lambda m, x: x + m.linear(x), linear=nn.Linear(8, 8))
    thinned.freeze(model)
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            torch.rand(4)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        assert all(quiet(model) for _ in range(50))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("form", [form for form in DROPS if form != "TorchScript"])
def test_rates_are_set_or_the_place_is_named(form: str) -> None:
    for example in (None, X):
        model = nn.Sequential(nn.Dropout(0.0), DROPS[form]())
        try:
            thinned.set_rates(model, {"*": 0.0}, example=example)
        except ValueError as error:
            assert "within reach" in str(error) or "must follow" in str(error), form  # noqa: PT017
        else:
            assert quiet(model) or form == "rrelu"  # which has no p


@pytest.mark.parametrize("form", ["a list", "a dictionary", "a dataclass", "a closure", "a hook's module"])
def test_each_dropout_has_a_name_of_its_own(form: str) -> None:
    rates = thinned.rates(DROPS[form]())
    assert [*rates.values()] == [0.5, 0.25][: len(rates)]
    for example in (None, X):
        model = DROPS[form]()
        for number, name in enumerate(rates, 1):
            assert thinned.set_rates(model, {name: number / 16}, example=example) == {name: number / 16}
        assert thinned.rates(model) == {name: number / 16 for number, name in enumerate(rates, 1)}
        assert {place.name: place.p for place in thinned.inspect(model, X).places} == thinned.rates(model)


def test_names_are_paths_and_brackets_match() -> None:
    model = nn.Sequential(Runs(each, drops=[*two()]))
    assert thinned.rates(model) == {"0.drops[0]": 0.5, "0.drops[1]": 0.25}
    assert thinned.set_rates(model, {"0.drops[*]": 0.1}) == {"0.drops[0]": 0.1, "0.drops[1]": 0.1}
    assert thinned.scale_rates(model, 2, "*[1]") == {"0.drops[1]": 0.2}


def test_a_way_back_to_the_parent_is_not_followed() -> None:
    parent: Any = nn.Sequential(nn.Dropout(0.5), Runs(lambda m, x: F.dropout(x, 0.1, m.training)))
    parent[1].parent = [parent]
    assert thinned.rates(parent[1]) == {":run": pytest.approx(0.1)} or "0" not in thinned.rates(parent[1])


@pytest.mark.parametrize("form", [*DROPS, *DRAWS])
def test_the_guard_names_it(form: str) -> None:
    model = DROPS[form]() if form in DROPS else DRAWS[form][0]()
    for module in model.modules():
        module.training = False
    with thinned.eval_guard(model):
        error = raised(model, thinned.NoiseInEval)
        assert error is None or (error.function and error.place in str(error))


def test_a_hook_that_is_registered_later_is_guarded() -> None:
    model = nn.Linear(8, 8).eval()
    with thinned.eval_guard(model):
        hooked(model, F.dropout)
        with pytest.raises(thinned.NoiseInEval, match="':dropout' must draw no noise in eval mode"):
            model(X)
    with thinned.disabled(model):
        assert quiet(model)


def test_a_pattern_leaves_others_on_and_every_thread_is_silent() -> None:
    model = nn.Sequential(Runs(called, function=lambda x: F.dropout(x, 0.5)), DROPS["a lambda"]())
    with thinned.disabled(model, "1:*", allow=()):
        assert not quiet(model)
        assert quiet(model[1])
        assert not quiet(model[0])
    with thinned.disabled(model):
        found: list[bool] = []
        threads = [threading.Thread(target=lambda: found.append(quiet(model))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [True, True]


def test_a_compiled_model_is_silent_and_compiled_once() -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    model = nn.Sequential(Runs(each, drops=[*two()]), nn.Linear(8, 8))
    compiled: Any = torch.compile(model, backend=counter)
    compiled(X)
    frames = counter.frame_count
    for inside in (compiled, model):  # the model may be compiled by a wrapper that it does not know
        with thinned.disabled(inside):
            assert torch.equal(compiled(X), compiled(X))
    assert not torch.equal(compiled(X), compiled(X))
    assert counter.frame_count == frames
    torch._dynamo.reset()


def test_a_model_is_silent_where_it_is_compiled_or_exported_inside() -> None:
    torch._dynamo.reset()
    model = nn.Sequential(DROPS["a lambda"](), nn.Linear(8, 8))
    with thinned.disabled(model):
        compiled: Any = torch.compile(model, backend="eager")
        assert torch.equal(compiled(X), compiled(X))
        program: Any = torch.export.export(model, (X,)).module()
    assert torch.equal(program(X), program(X))
    noisy = DRAWS["noise"][0]()
    with thinned.disabled(noisy), pytest.raises(thinned.NoiseLeft, match="'0:randn_like'"):
        torch.export.export(noisy, (X,))
    assert torch.utils._python_dispatch._get_current_dispatch_mode_stack() == []
    assert torch.overrides._get_current_function_mode_stack() == []
    torch._dynamo.reset()


def test_a_frozen_part_in_a_whole_graph() -> None:
    torch._dynamo.reset()
    model = nn.Sequential(Runs(lambda m, x: m.linear(x), linear=nn.Linear(8, 8)), nn.Dropout(0.5))
    thinned.freeze(model[0])
    compiled: Any = torch.compile(model, backend="eager", fullgraph=True)
    assert compiled(X).shape == X.shape
    torch._dynamo.reset()


def test_inspect_sees_what_is_frozen_or_disabled_without_an_error() -> None:
    model = DROPS["a lambda"]()
    thinned.freeze(model)
    assert [place.active for place in thinned.inspect(model, X).places] == ["both"]


def test_bad_allow() -> None:
    silent = thinned.disabled(nn.Dropout(), allow=(3,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`disabled`: `allow` must be patterns, which are text\. Got 3"), silent:
        pass


def test_the_name_in_an_error_is_a_name_to_allow() -> None:
    for form in ("a list", "a dictionary", "a hook's module", "a lambda"):
        model = DROPS[form]()
        allow: list[str] = []
        while len(allow) < 3:
            with thinned.eval_guard(model, allow=allow):
                for module in model.modules():
                    module.training = False
                error = caught(model)
            if error is None:
                break
            allow.append(error.place)
        assert 0 < len(allow) < 3, form


def caught(model: nn.Module) -> thinned.NoiseLeft | None:
    try:
        model(X)
    except thinned.NoiseLeft as error:
        return error
    return None
