"""`thinned.predict`: which noise, on which models, and what stays as it was."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.models import MODELS, having, linear, made
from tests.run import Run
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, TensorDataset

import thinned
import thinned.nn
from thinned import noise
from thinned.nn.names import site_number


@pytest.mark.parametrize("kind", having("noisy"))
def test_every_kind_of_noise(kind: str) -> None:
    model, x = made(kind, 7)
    found = thinned.predict(model, x, n=6, seed=5, samples=True)
    assert found.engine.startswith("loop" if "loop" in MODELS[kind].traits else "vmap"), found.engine
    assert found.samples is not None
    assert found.samples.shape[:2] == (6, 7)
    assert (found.std.flatten(1).amax(1) > 0).float().mean() > 0.5
    # The same networks whatever the batches, the chunks and the threads; others for another seed.
    loader = DataLoader(TensorDataset(x), batch_size=3)
    torch.manual_seed(99)
    for other in (
        thinned.predict(model, loader, n=6, seed=5, samples=True),
        thinned.predict(model, x, n=6, seed=5, samples=True, memory=1),
        thinned.predict(model.train(), x, n=4, seed=5, samples=True),
    ):
        assert other.samples is not None
        torch.testing.assert_close(other.samples, found.samples[: other.n], rtol=1e-5, atol=1e-6)
    assert not torch.equal(thinned.predict(model, x, n=6, seed=6).mean, found.mean)
    # Rows of one input differ, but not where all have the masks of one network.
    alike = x[:1].expand_as(x)
    if kind not in ("LayerDrop", "thinned DropConnect"):
        assert not torch.equal(*thinned.predict(model, alike, n=20, seed=5).mean[:2])
    shared = thinned.predict(model, alike, n=4, seed=5, samples=True, shared_masks=True)
    assert shared.samples is not None
    torch.testing.assert_close(shared.samples, shared.samples[:, :1].expand_as(shared.samples), rtol=1e-5, atol=1e-6)
    assert float(shared.std.sum()) > 0


def test_the_masks_are_the_contract_s() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Identity(), nn.Dropout(0.25))

        def forward(self, x: Tensor) -> Tensor:
            # The second of three calls is to be seen.
            result: Tensor = self.inner(self.inner(x) * 0 + 1) + self.inner(x) * 0
            return result

    found = thinned.predict(Net(), torch.ones(4, 10), n=3, seed=11, samples=True)
    assert found.samples is not None
    for sample in range(3):
        key = noise.fold_in(noise.fold_in(noise.fold_in(11, sample), site_number("inner.1")), 1)
        assert np.array_equal(found.samples[sample].numpy() != 0, noise.bernoulli(key, 0.25, (4, 10)))


def test_mean_and_variance_of_a_linear_unit() -> None:
    net = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 1))
    x = torch.randn(5, 8)
    n = 4000
    found = thinned.predict(net, x, n=n, seed=1)
    weight = net.get_parameter("1.weight").detach()
    p = noise.realised(0.3)
    variance = (weight * x).square().sum(1, keepdim=True) * p / (1 - p)
    # Five standard errors of a mean; a variance's error is below that of a law with the kurtosis of eight such terms.
    assert ((found.mean - net.eval()(x)).abs() < 5 * (variance / n).sqrt()).all()
    assert ((found.std.square() / variance - 1).abs() < 5 * (3 / n) ** 0.5).all()


def test_classification() -> None:
    net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 3))
    x = 3 * torch.randn(9, 6)
    found = thinned.predict(net, x, n=30, task="classification", samples=True)
    assert found.samples is not None
    p = found.samples.double()
    assert torch.allclose(p.sum(-1), torch.ones(30, 9, dtype=torch.float64), atol=1e-6)
    mean = p.mean(0)
    entropy = -(mean * mean.log()).sum(1)
    expected = -(p * p.log()).sum(2).mean(0)
    votes = torch.stack([(p.argmax(2) == label).sum(0) for label in range(3)], 1)
    torch.testing.assert_close(found.probability.double(), mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.entropy.double(), entropy, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.mutual_information.double(), entropy - expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.variation_ratio.double(), 1 - votes.amax(1).double() / 30, rtol=1e-6, atol=1e-6)
    assert torch.equal(found.label, mean.argmax(1))
    assert torch.equal(found.max_probability, found.probability.amax(1))
    assert list(found.to_pandas().columns) == [
        "label", "probability", "entropy", "mutual_information", "variation_ratio",
    ]  # fmt: skip
    binary = thinned.predict(nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 1)), x, task="classification")
    assert binary.probability.shape == (9, 2)
    with pytest.raises(ValueError, match="only a prediction of classes has it"):
        _ = thinned.predict(net, x, n=2).entropy


def test_quantiles_are_numpy_s() -> None:
    net = nn.Sequential(nn.Linear(6, 64), nn.Dropout(0.5), nn.Linear(64, 2))
    found = thinned.predict(net, torch.randn(4, 6), n=13, samples=True, levels=(0.0, 0.1, 0.5, 1.0))
    assert found.samples is not None
    expected = np.quantile(found.samples.numpy(), [0.0, 0.1, 0.5, 1.0], axis=0)
    assert np.allclose(found.quantiles.numpy(), expected, atol=1e-6)
    assert list(found.to_pandas().columns)[:4] == ["mean_0", "std_0", "q0_0", "q0.1_0"]


def test_torch_s_fused_transformer_path_does_not_swallow_the_noise() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.2, batch_first=True).eval()
    x = torch.randn(3, 4, 8)
    for module in layer.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.no_grad():
        assert torch.equal(layer(x), layer(x))  # what others sample
    assert (thinned.predict(layer, x, n=5).std > 0).all()


class Normed(nn.Module):
    def __init__(self, fail: bool = False) -> None:
        super().__init__()
        self.inner, self.norm, self.drop, self.fail = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), fail
        self.calls = itertools.count()

    def forward(self, x: Tensor) -> Tensor:
        if self.fail and next(self.calls) > 5:
            raise ArithmeticError("on demand")
        result: Tensor = self.norm(self.drop(self.norm(self.inner(x)).relu()))
        return result


@pytest.mark.parametrize("fail", [False, True])
def test_all_but_dropout_is_as_it_was(fail: bool) -> None:
    net = Normed(fail)
    for _ in range(3):
        net(torch.randn(16, 6))
    net.norm.momentum = None
    net.calls = itertools.count()
    hook = net.drop.register_forward_hook(lambda *_: None)
    buffers = {name: (value, value.clone()) for name, value in net.named_buffers()}
    state, modes = torch.get_rng_state(), [module.training for module in net.modules()]
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    if fail:
        with pytest.raises(ArithmeticError):
            thinned.predict(net, x, n=5)
    else:
        thinned.predict(net, x, n=5)
    assert all(value is buffers[name][0] for name, value in net.named_buffers())
    assert all(torch.equal(value, buffers[name][1]) for name, value in net.named_buffers())
    assert [module.training for module in net.modules()] == modes
    assert list(net.drop._forward_hooks) == [hook.id]
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch._C._len_torch_function_stack()


def test_batch_normalisation_uses_its_running_statistics() -> None:
    net = Normed()
    for _ in range(20):
        net(torch.randn(16, 6))
    x = torch.randn(2, 6)
    found = thinned.predict(net, x, n=3, sites="drop", p=1e-9)  # no unit of 16 bits is dropped at such a p
    torch.testing.assert_close(found.mean, net.eval()(x).detach(), rtol=1e-5, atol=1e-6)


def test_two_threads_at_once() -> None:
    nets = [nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 2)) for _ in range(2)]
    x = torch.randn(4, 6)
    alone = [thinned.predict(net, x, n=10, seed=3).mean for net in nets]
    found: list[Any] = [None, None]
    number = torch.get_num_threads()

    def work(which: int) -> None:
        torch.set_num_threads(number)  # as in the tests' own thread: rounding depends on it
        found[which] = [thinned.predict(nets[which], x, n=10, seed=3).mean for _ in range(5)]

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for which in range(2):
        assert all(torch.equal(mean, alone[which]) for mean in found[which])


def test_some_places_and_other_rates() -> None:
    net = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 32), nn.Dropout(0.1), nn.Linear(32, 2))
    x = torch.randn(4, 6)
    both, last = thinned.predict(net, x, n=8), thinned.predict(net, x, n=8, sites="3")
    assert (both.places, last.places) == (("1", "3"), ("3",))
    assert last.std.mean() < both.std.mean()
    more = thinned.predict(net, x, n=8, sites=["3"], p={"3": 0.5})
    assert more.std.mean() > last.std.mean()
    quiet = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.0), nn.Linear(32, 2))
    assert (thinned.predict(quiet, x, n=8, p=0.5).std > 0).all()
    off = thinned.predict(net, x, n=8, p={"1": 0.0})
    assert off.places == ("3",)


class Dropout(nn.Module):
    """As in TensorFlow 1: it holds the probability that a unit is kept."""

    def __init__(self, keep_prob: float) -> None:
        super().__init__()
        self.keep_prob = keep_prob

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 1 - self.keep_prob, self.training)


def test_a_rate_for_a_layer_that_holds_the_probability_of_keeping() -> None:
    kept, net, x = (
        Dropout(0.9),
        nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 2)),
        torch.randn(4, 6),
    )
    expected = thinned.predict(net, x, n=8)
    net[2] = kept
    found = thinned.predict(net, x, n=8, p=0.3)
    assert kept.keep_prob == 0.9
    torch.testing.assert_close(found.mean, expected.mean)
    assert not torch.allclose(found.mean, thinned.predict(net, x, n=8).mean)


def test_what_comes_before_the_noise_is_computed_once() -> None:
    count = 0

    @torch.library.custom_op("tests_uncertainty::counted", mutates_args=())
    def counted(x: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return x * 2

    net = Run(lambda m, x: m.last(m.drop(counted(x))), drop=nn.Dropout(0.5), last=nn.Linear(6, 2))
    x = torch.randn(4, 6)
    thinned.predict(net, x, n=2)
    few, count = count, 0
    thinned.predict(net, x, n=50, memory=1)  # 4 rows one by one, 50 samples each
    assert count - few == 3


class Called(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x.sin(), 0.3, self.training)


def test_hooks_that_are_to_run_always_do() -> None:
    net, x = linear(Called()), torch.randn(4, 6)
    thinned.set_rates(net, {"*": 0.4})  # its mode is entered by one hook, and left by another
    entered, left = [], []
    net.register_forward_pre_hook(lambda *_: entered.append(1))
    net.register_forward_hook(lambda *_: left.append(1), always_call=True)
    found = thinned.predict(net, x, n=8)
    assert len(entered) == len(left) > 0
    assert not torch._C._len_torch_function_stack()
    thinned.set_rates(net, {"*": 0.3})
    again = thinned.predict(net, x, n=8, p={"2:dropout": 0.4})
    assert torch.equal(again.mean, found.mean)


def test_a_model_that_catches_every_error() -> None:
    def run(m: Any, x: Tensor) -> Any:
        h = m.inner(x)
        try:
            return m.last(F.dropout(h, 0.5, m.training) + 1.0)
        except Exception:
            h += 1.0
            return m.last(h)

    inner, last, x = nn.Linear(6, 6), nn.Linear(6, 2), torch.randn(4, 6)

    def plain(m: Any, x: Tensor) -> Any:
        return m.last(F.dropout(m.inner(x), 0.5, m.training) + 1.0)

    found, expected = (thinned.predict(Run(function, inner=inner, last=last), x, n=8) for function in (run, plain))
    torch.testing.assert_close(found.mean, expected.mean)


def test_what_is_remembered_may_be_overwritten() -> None:
    def run(m: Any, x: Tensor) -> Tensor:
        kept = m.inner(x)
        dropped = F.dropout(x, 0.5)
        kept += 1.0  # a result from before the noise
        result: Tensor = kept + dropped
        return result

    net = Run(run, inner=nn.Linear(6, 6))
    x = torch.randn(3, 6)
    found = thinned.predict(net, x, n=5, samples=True)
    assert found.samples is not None
    base = net.inner(x).detach() + 1.0 - 0.0  # type: ignore[operator]
    kept = found.samples - base
    assert ((kept.abs() < 1e-5) | ((kept - 2 * x).abs() < 1e-5)).all()


def test_other_inputs_and_answers() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, a: Tensor, scale: Tensor) -> dict[str, Tensor]:
            return {"hidden": a, "logits": self.drop(a) * scale}

    a, scale = torch.randn(6, 4), torch.rand(6, 1)
    by_tuple = thinned.predict(Two(), (a, scale), n=4)
    by_name = thinned.predict(Two(), {"a": a, "scale": scale}, n=4)
    rows = [{"a": a[row], "scale": scale[row], "labels": torch.tensor(0)} for row in range(6)]
    loaded = thinned.predict(Two(), DataLoader(rows, batch_size=4), n=4, progress=False)  # type: ignore[arg-type]
    assert torch.equal(by_tuple.mean, by_name.mean)
    assert torch.equal(loaded.mean, by_name.mean)
    hidden = thinned.predict(Two(), (a, scale), n=4, output=lambda answer: answer["hidden"])
    assert float(hidden.std.sum()) == 0.0
    half = thinned.predict(Two(), DataLoader(rows, batch_size=4), n=4, inputs=lambda b: (b["a"], b["scale"] / 2))  # type: ignore[arg-type]
    torch.testing.assert_close(half.mean, by_name.mean / 2)


def test_progress_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.Sequential(nn.Dropout(0.5))
    loader = DataLoader(TensorDataset(torch.ones(5, 2)), batch_size=2)
    thinned.predict(net, loader, n=2, progress=True)
    assert capsys.readouterr().err.endswith("predict: batch 3 of 3\n")


def test_errors_say_what_to_do() -> None:
    plain = nn.Sequential(nn.Linear(4, 2))
    net = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5))
    x = torch.randn(3, 4)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: thinned.predict(plain, x), "nothing is random. Pass p=0.1"),
        (lambda: thinned.predict(nn.Sequential(nn.Dropout(0.0)), x), "nothing is random at the places 0"),
        (lambda: thinned.predict(net, x, sites="drop*"), r"Got 'drop\*', which matches none. Places: 1"),
        (lambda: thinned.predict(net, x, p={"2": 0.5}), "Got '2', which matches none. Places: 1"),
        (lambda: thinned.predict(net, x, p=20), "If 20 % was meant, pass 0.2"),
        (lambda: thinned.predict(net, x, n=0), "`n` must be an integer, 1 or more. Got 0"),
        (lambda: thinned.predict(net, x, task="classes"), "`task` must be one of 'regression', 'classification'"),
        (lambda: thinned.predict(net, x, levels=[5]), r"`levels` must be in \[0, 1\]"),
        (lambda: thinned.predict(net, x, seed=-1), "`seed` must be an integer"),
        (
            lambda: thinned.predict(*made("rand > p"), p=0.1),
            "noise made by hand. Got 0.1 for ':rand'",
        ),
    ]
    for call, said in calls:
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(TypeError, match=r"For an array pass torch.as_tensor"):
        thinned.predict(net, np.ones((3, 4)))
    with pytest.raises(TypeError, match=r"`predict`: `model` must be a torch.nn.Module"):
        thinned.predict(lambda x: x, x)  # type: ignore[arg-type]


def test_contexts_around_the_noise() -> None:
    """Leaving no_grad calls torch; that is no part of what comes before the first noise."""

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = linear(nn.Dropout(0.4))

        def forward(self, x: Tensor) -> Any:
            with torch.no_grad(), torch.profiler.record_function("body"):
                return self.body(x) + 0.0

    net, x = Inside(), torch.randn(5, 6)
    plain = nn.ModuleDict({"body": net.body})
    plain.forward = lambda x: plain["body"](x) + 0.0
    found = thinned.predict(net, x, n=5, samples=True)
    assert found.engine == "vmap"
    assert torch.equal(found.mean, thinned.predict(plain, x, n=5).mean)
    assert (thinned.predict(nn.DataParallel(net), x, n=5).std > 0).all()  # it has such a context of its own


@pytest.mark.parametrize("draw", [random.random, np.random.random_sample])
def test_layers_left_out_by_python_s_random_numbers(draw: Callable[[], float]) -> None:
    def skipping(m: Any, x: Tensor) -> Tensor:
        for layer in m.layers:
            if not (m.training and draw() < 0.5):
                x = x + layer(x)
        return x

    net = Run(skipping, layers=nn.ModuleList(nn.Linear(6, 6) for _ in range(4)))
    x = torch.randn(5, 6)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    following = random.random(), np.random.random_sample()  # noqa: NPY002
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    found = thinned.predict(net, x, n=20, seed=3, samples=True)
    assert (random.random(), np.random.random_sample()) == following  # noqa: NPY002
    assert found.places == (":random",)
    assert found.samples is not None
    assert len(found.samples.unique(dim=0)) > 5
    again = thinned.predict(net, DataLoader(TensorDataset(x), batch_size=2), n=20, seed=3, samples=True)
    assert again.samples is not None
    torch.testing.assert_close(found.samples, again.samples)


def test_what_cannot_be_sampled_is_refused() -> None:
    net, x = linear(nn.Dropout(0.4)), torch.randn(5, 6)
    with pytest.raises(TypeError, match=r"noise must be drawn in Python\. Got .*, which is TorchScript"):
        thinned.predict(torch.jit.script(net), x)
    with pytest.raises(ValueError, match="`temperature` divides logits"):
        thinned.predict(net, x, temperature=2.0)
    packed = nn.utils.rnn.pack_sequence([x])
    loader: Any = DataLoader(TensorDataset(x), collate_fn=lambda _: packed)
    for given in (packed, (packed,), {"input": packed}, loader):
        with pytest.raises(TypeError, match="Got a PackedSequence"):
            thinned.predict(net, given)


class Largest(TorchDispatchMode):
    """The bytes of the largest tensor that any operator made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.bytes = max([self.bytes, *(leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor))])
        return result


def test_memory_grows_neither_with_the_samples_nor_with_the_data() -> None:
    net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 50))
    memory = 2**19
    found = []
    for n, size in [(20, 64), (1000, 64), (20, 640)]:
        with Largest() as largest:
            loader = DataLoader(TensorDataset(torch.randn(size, 6)), batch_size=64)
            thinned.predict(net, loader, n=n, memory=memory)
        found.append(largest.bytes)
    # The largest that there is without chunks: 1000 samples of 64 rows of 50 outputs, 12.8 MB. What does grow with the
    # data is the answer, 640 rows of 50 outputs and three quantiles of each.
    assert max(found[:2]) <= memory
    assert found[2] <= max(memory, 3 * 640 * 50 * 4)


def stock(model: nn.Module, x: Tensor, n: int, seed: int) -> Tensor:
    """The samples of passes in training mode, in which `F.dropout` has the masks of the contract."""

    class Masks(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func is not F.dropout and func is not torch.dropout_:
                return func(*args, **kwargs)
            given = dict(zip(("input", "p", "training", "inplace"), args, strict=False), **kwargs)
            value, p = given["input"], given["p"]
            if not given["training"] or p == 0:
                return value
            key = noise.fold_in(
                noise.fold_in(noise.fold_in(seed, len(drawn)), site_number(names[-1])), counts[names[-1]]
            )
            counts[names[-1]] += 1
            kept = torch.from_numpy(noise.bernoulli(key, p, tuple(value.shape)))
            dropped = torch.where(kept, value / (1 - noise.realised(p)), 0.0)
            return value.copy_(dropped) if given.get("inplace") or func is torch.dropout_ else dropped

    names, left = [""], []
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: names.append(name)))
        hooks.append(module.register_forward_hook(lambda *_: left.append(names.pop())))
    drawn: list[Tensor] = []
    for _ in range(n):
        counts: Counter[str] = Counter()
        with torch.no_grad(), Masks():
            drawn.append(model.train()(x.clone()))
    for hook in hooks:
        hook.remove()
    return torch.stack(drawn)


def branches(m: Any, x: Tensor) -> Tensor:
    h = m.inner(x)
    dropped = m.drop(h)
    result: Tensor = dropped + F.relu(h, inplace=True)
    return result


def out(m: Any, x: Tensor) -> Tensor:
    h: Tensor = m.inner(x)
    return torch.add(h, m.drop(h), out=h)


def each(m: Any, x: Tensor) -> Tensor:
    h: Tensor = m.inner(x)
    dropped: Tensor = m.drop(h)
    torch._foreach_add_([h], 1.0)
    return h + dropped


def statement(m: Any, x: Tensor) -> Tensor:
    h = m.inner(x)
    torch.dropout_(h, 0.4, m.training)
    result: Tensor = m.inner(h)
    return result


def through_a_view(m: Any, x: Tensor) -> Tensor:
    h: Tensor = m.inner(x)
    F.dropout(h[:, 2:], 0.4, m.training, inplace=True)
    return h + 0.0


def several_rates(m: Any, x: Tensor) -> Tensor:
    for p in (0.1, 0.5, 0.9):
        x = F.dropout(m.inner(x), p, m.training)
    return x


def some_train(m: Any, x: Tensor) -> Tensor:
    for number in range(3):
        x = F.dropout(m.inner(x), 0.5, m.training and number < 2)
    return x


def by_argument(m: Any, x: Tensor) -> Tensor:
    result: Tensor = m.told(m.told(x, 0.1), 0.7)
    return result


class Told(nn.Module):
    def forward(self, x: Tensor, p: float) -> Tensor:
        return F.dropout(x, p, self.training)


def gradient(m: Any, x: Tensor) -> Tensor:
    """A force: the gradient of an energy, of which dropout sees a part."""
    with torch.enable_grad():
        at = x.detach().clone().requires_grad_()
        return torch.autograd.grad((m.drop(m.inner(at).square()) + at).sum(), at)[0]


def adapted(m: Any, x: Tensor) -> Tensor:
    """Weights of each row's own, by a step along a gradient."""
    weight, bias = m.inner.weight, m.inner.bias

    def one(row: Tensor) -> Tensor:
        def loss(w: Tensor) -> Tensor:
            return F.linear(row, w, bias).tanh().sum()

        return F.linear(row, weight - 0.3 * torch.func.grad(loss)(weight), bias)

    result: Tensor = torch.func.vmap(one)(m.drop(x))
    return result


def jacobians_before(m: Any, x: Tensor) -> Tensor:
    result: Tensor = m.drop(torch.func.vmap(torch.func.jacrev(lambda row: m.inner(row).tanh()))(x).flatten(1))
    return result


HARD: list[Callable[[Any, Tensor], Any]] = [
    branches,
    out,
    each,
    statement,
    through_a_view,
    several_rates,
    some_train,
    by_argument,
    gradient,
    adapted,
    jacobians_before,
]


@pytest.mark.parametrize("function", HARD)
@pytest.mark.parametrize("inplace", [False, True])
def test_the_samples_are_those_of_stock_passes(function: Callable[[Any, Tensor], Any], inplace: bool) -> None:
    if inplace and function is gradient:
        pytest.skip("its graph needs what would be overwritten")
    net = Run(function, inner=nn.Linear(6, 6), drop=nn.Dropout(0.4, inplace=inplace), told=Told())
    x = torch.randn(5, 6)
    expected = stock(net, x, 9, 3)
    for memory in (2**28, 1):
        found = thinned.predict(net, x, 9, seed=3, samples=True, memory=memory).samples
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_inference_mode_hides_no_write_into_the_input() -> None:
    net = Run(lambda m, x: m.drop(x.mul_(2)), drop=nn.Dropout(0.5))
    with torch.inference_mode():
        x = torch.ones(3, 8)
        found = thinned.predict(net, x, n=6, samples=True, memory=1)
    assert found.samples is not None
    assert set(found.samples.unique().tolist()) == {0.0, 4.0}
    assert (x == 1).all()


def test_noise_that_is_itself_the_answer_or_lies_in_a_part_of_a_mask() -> None:
    def answer(m: Any, x: Tensor) -> Tensor:
        return torch.zeros_like(x).bernoulli_(0.5) if m.training else x

    def answered_later(m: Any, x: Tensor) -> Tensor:
        mask = torch.full_like(x, 0.25)
        mask.bernoulli_(0.5)
        return mask if m.training else x

    def part(m: Any, x: Tensor) -> Tensor:
        mask = torch.ones_like(x)
        mask[:, 1:].bernoulli_(0.5)
        return x * mask if m.training else x

    for function in (answer, answered_later, part):
        found = thinned.predict(Run(function), torch.ones(9, 8), n=5, samples=True)
        assert found.samples is not None
        assert set(found.samples.unique().tolist()) == {0.0, 1.0}
        assert (found.samples[:, :, 0] == 1).all() == (function is part)


def test_the_place_of_a_mask_that_is_gone_may_be_used_again() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        for _ in range(20):
            x = x * x.new_empty(x.shape).bernoulli_(0.9) + x.new_zeros(x.shape).add(0.0)
        return x

    assert thinned.predict(Run(forward), torch.ones(3, 50), n=5).engine == "vmap"


LAWS: dict[str, tuple[Callable[[Tensor], Tensor], float, float]] = {
    "only a deviation": (lambda x: x.normal_(std=0.1), 0.0, 0.1),
    "the other way round": (lambda x: x.normal_(std=0.1, mean=2.0), 2.0, 0.1),
    "only an upper bound": (lambda x: x.uniform_(to=3.0), 1.5, 0.75**0.5),
    "half by default": (lambda x: x.bernoulli_(generator=None), 0.5, 0.5),
    "one bound by name": (lambda x: torch.randint(2, high=5, size=x.shape), 3.0, (2 / 3) ** 0.5),
    "nn.init": (lambda x: nn.init.normal_(x, 1.0, 0.1), 1.0, 0.1),
    "nn.init, uniform": (lambda x: nn.init.uniform_(x, 2.0, 3.0), 2.5, 12**-0.5),
}


@pytest.mark.parametrize("law", LAWS)
def test_numbers_of_a_law_by_name(law: str) -> None:
    draw, mean, deviation = LAWS[law]
    found = thinned.predict(Run(lambda m, x: x + draw(torch.zeros_like(x))), torch.zeros(40, 6), n=50, samples=True)
    assert found.samples is not None
    # 12,000 numbers; their deviation's error is below its own size over the root of that.
    assert float(found.samples.mean()) == pytest.approx(mean, abs=5 * deviation / 12000**0.5)
    assert float(found.samples.std()) == pytest.approx(deviation, rel=5 / 12000**0.5)


def test_the_mask_of_native_dropout() -> None:
    net = Run(lambda m, x: torch.native_dropout(x * 0, 0.25, True)[1].float() if m.training else x)
    found = thinned.predict(net, torch.ones(40, 50), n=4, samples=True)
    assert found.samples is not None
    assert float(found.samples.mean()) == pytest.approx(0.75, abs=5 * (0.1875 / 8000) ** 0.5)


def test_queries_that_may_look_at_nothing() -> None:
    attend = nn.MultiheadAttention(6, 2, dropout=0.4, batch_first=True)
    padded = torch.tensor([[False] * 3, [True] * 3])
    net = Run(lambda m, x: m.attend(x, x, x, key_padding_mask=padded[: len(x)], need_weights=False)[0], attend=attend)
    x = torch.randn(2, 3, 6)
    assert torch.equal(thinned.predict(net, x, n=3).mean.isnan(), net.train()(x).isnan())


def beside_a_constant(m: Any, x: Tensor) -> Tensor:
    result: Tensor = m.drop(torch.cat((torch.ones(1, 6), x)))[1:]
    return result


def sorted_rows(m: Any, x: Tensor) -> Tensor:
    order = x[:, 0].argsort()
    result: Tensor = m.drop(x[order])[order.argsort()]
    return result


def selected_rows(m: Any, x: Tensor) -> Tensor:
    chosen = x[:, 0] < 0.5
    result = x.clone()
    result[chosen] = m.drop(x[chosen])
    return result


def after_a_mask(m: Any, x: Tensor) -> Tensor:
    x = x * torch.empty_like(x).bernoulli_(0.7)
    return x - x.mean(0)


def sorted_lengths(m: Any, x: Tensor) -> Tensor:
    lengths = (10 * x[:, 0]).long()
    order = lengths.argsort(descending=True)
    packed = nn.utils.rnn.pack_padded_sequence(x[order, :, None], lengths[order].clamp_max(6), batch_first=True)
    result: Tensor = m.lstm(packed)[1][0][1][order.argsort()]
    return result


@pytest.mark.parametrize("function", [beside_a_constant, sorted_rows, selected_rows, after_a_mask, sorted_lengths])
def test_rows_that_are_not_where_they_were_are_taken_together(function: Callable[[Any, Tensor], Any]) -> None:
    x = torch.tensor([0.1, 0.2, 0.9, 0.3, 0.8])[:, None] + torch.arange(6)
    net = Run(function, drop=nn.Dropout(0.5), lstm=nn.LSTM(1, 6, 2, dropout=0.5))
    found = thinned.predict(net, x, n=5, samples=True)
    assert "rows depend on one another" in found.engine
    assert torch.equal(found.mean, thinned.predict(net, x, n=5, memory=1).mean)


def test_a_model_that_remembers_what_failed() -> None:
    class Fast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fast = True

        def forward(self, x: Tensor) -> Tensor:
            try:
                return F.dropout(x.sin(), 0.4, self.training)
            except Exception:
                self.fast = False
                raise

    net = Fast()
    thinned.predict(net, torch.ones(3, 4), n=5)
    assert net.fast


def test_threads_on_one_model() -> None:
    net = nn.Sequential(
        nn.Linear(6, 32), nn.BatchNorm1d(32), Run(lambda m, x: F.dropout(x, 0.3) if m.training else x), nn.Linear(32, 2)
    )
    x = torch.randn(4, 6)
    expected, state = thinned.predict(net, x, n=10).mean, torch.get_rng_state()
    with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as pool:
        found = list(pool.map(lambda _: thinned.predict(net, x, n=10).mean, range(24)))
    assert all(torch.equal(mean, expected) for mean in found)
    assert all(module.training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), state)
