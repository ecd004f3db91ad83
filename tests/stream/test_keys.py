"""A site's key is a function of (seed, site, step, call), by a documented rule, for every layer."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

import thinned
import thinned.nn.functional as F
from thinned import nn
from thinned.nn.names import site_number
from thinned.nn.stream.stream import Stream
from thinned.nn.variants import VARIANTS, Variant
from thinned.noise import bernoulli, fold_in

SEED = 2**63 + 5


def mask(
    stream: Stream, site: str, p: float, shape: tuple[int, ...], call: int = 0, shared: tuple[int, ...] = ()
) -> Tensor:
    """The oracle's, True where kept."""
    return torch.from_numpy(bernoulli(stream.key(site, call), p, shape, broadcast_dims=shared))


def axes(variant: Variant) -> list[int]:
    return [40, 5, 4, 3, 2][: len(variant.layout.split())]


@pytest.mark.parametrize(
    ("name", "number"),
    [("", 0xB4B2797457A0A6E4), ("0", 0x75DFCD439D7D2B84), ("encoder.layers.0.dropout", 0x2BE38F92B88AA34A)],
)
def test_a_site_s_number_is_the_hash_of_its_name(name: str, number: int) -> None:
    """A part of the contract: other numbers are other masks for everybody's runs."""
    assert site_number(name) == number
    assert blake2b(name.encode("utf-8"), digest_size=8).digest() == number.to_bytes(8, "little")


def test_keys_by_the_rule() -> None:
    model = torch.nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    with thinned.stream(model, SEED) as stream:
        for step in range(3):
            key = fold_in(fold_in(SEED, site_number("1")), step)
            assert stream.key("1") == key
            assert stream.key("1", 2) == fold_in(key, 2)
            for call in range(3):
                assert torch.equal(model[1](torch.ones(40)) != 0, mask(stream, "1", 0.5, (40,), call))
            stream.step()
    assert (stream.seed, stream.steps) == (SEED, 3)


@pytest.mark.parametrize("variant", [row for row in VARIANTS if row.keyed], ids=lambda row: row.name)
def test_every_layer_takes_its_key_from_the_stream(variant: Variant) -> None:
    layer = variant.module(p=0.4)
    x = torch.rand(axes(variant), generator=torch.Generator().manual_seed(1))
    state = torch.get_rng_state()
    with thinned.stream(torch.nn.ModuleDict({"layer": layer}), SEED) as stream:
        first, second = layer(x), layer(x)
        assert torch.equal(first, layer(x, key=stream.key("layer")))
        assert torch.equal(second, layer(x, key=stream.key("layer", 1)))
        assert not torch.equal(first, second)
        own = torch.Generator().manual_seed(3)
        given = layer(x, generator=own)
        assert torch.equal(given, layer(x, generator=own.manual_seed(3))), "a generator wins"
        assert torch.equal(layer(x), layer(x, key=stream.key("layer", 2))), "and is no call"
        layer.eval()
        layer(x)
        assert torch.equal(layer.train()(x), layer(x, key=stream.key("layer", 3))), "nor is inference"
    assert torch.equal(torch.get_rng_state(), state), "torch's generator is left alone"


def test_masks_do_not_depend_on_dtype_layout_or_threads() -> None:
    layer = nn.Dropout(0.5)
    x = torch.ones(64, 3, 32, 32)
    kept = []
    threads = torch.get_num_threads()
    with thinned.stream(layer, SEED) as stream:
        for form in (x, x.bfloat16(), x.double(), x.to(memory_format=torch.channels_last), x.transpose(0, 3)):
            stream.load_state_dict({"seed": SEED, "step": 0, "version": 1})
            torch.set_num_threads(2 if form.dtype == torch.float64 else 1)
            kept.append(layer(form) != 0)
    torch.set_num_threads(threads)
    *same, transposed = kept
    assert all(torch.equal(one, same[0]) for one in same)
    assert torch.equal(transposed, mask(Stream(layer, SEED), "", 0.5, tuple(transposed.shape)))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_the_input_of_a_recurrent_layer_is_a_site(kind: str, packed: bool) -> None:
    layer = getattr(nn, kind)(4, 5, dropout=0.5)
    plain = getattr(torch.nn, kind)(4, 5)
    plain.load_state_dict(layer.state_dict())
    x = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(1))

    def form(x: Tensor) -> object:
        return pack_padded_sequence(x, torch.tensor([2, 3]), enforce_sorted=False) if packed else x

    with thinned.stream(torch.nn.ModuleDict({"rnn": layer}), SEED) as stream:
        for call in range(2):
            kept = mask(stream, "rnn.dropout_l0", 0.5, (3, 2, 4), call, shared=(0,))
            torch.testing.assert_close(layer(form(x)), plain(form(torch.where(kept, 2 * x, 0.0))))


def test_every_mask_of_a_recurrent_layer_is_a_site() -> None:
    layer = nn.RNN(4, 5, num_layers=2, bidirectional=True, dropout=0.5, recurrent_dropout=0.25)
    x = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(1))
    with thinned.stream(layer, SEED) as stream:
        for call in range(2):
            torch.testing.assert_close(layer(x)[0], unrolled(layer, x, stream, call))


def unrolled(layer: torch.nn.RNNBase, x: Tensor, stream: Stream, call: int) -> Tensor:
    """What a bidirectional RNN gives, step by step, with the masks of the sites that the documentation names."""
    weights = dict(layer.named_parameters())
    for number in range(layer.num_layers):
        kept = mask(stream, f"dropout_l{number}", 0.5, tuple(x.shape), call, shared=(0,))
        x = torch.where(kept, 2 * x, 0.0)
        both = []
        for end in ("", "_reverse"):
            w_ih, w_hh, b_ih, b_hh = (
                weights[f"{name}_l{number}{end}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            kept = mask(stream, f"recurrent_dropout_l{number}{end}", 0.25, (x.shape[1], layer.hidden_size), call)
            h = torch.zeros(x.shape[1], layer.hidden_size)
            steps = []
            for x_t in reversed(x) if end else x:
                h = torch.tanh(x_t @ w_ih.T + b_ih + torch.where(kept, h / 0.75, 0.0) @ w_hh.T + b_hh)
                steps.append(h)
            both.append(torch.stack(steps[::-1] if end else steps))
        x = torch.cat(both, dim=-1)
    return x


def test_weights_have_one_mask_a_call() -> None:
    linear = torch.nn.Linear(4, 3, bias=False)
    model = torch.nn.Sequential(nn.drop_connect(linear, p=0.5))
    with thinned.stream(model, SEED) as stream:
        y = model(torch.eye(4))
        kept = mask(stream, "0.weight_drop_connect", 0.5, (3, 4))
        assert torch.equal(y != 0, kept.T)
        torch.testing.assert_close(y, torch.where(kept, 2 * linear.weight, 0.0).T)


def test_functions_are_told_apart_by_their_order() -> None:
    class Functional(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = F.dropout(x, 0.5)
            F.dropout(x, 0.0)
            F.alpha_dropout(x, 0.0, training=True)
            F.dropout(x, 0.5, training=False)
            return y * F.dropout(x, 0.25)

    model = Functional()
    with thinned.stream(model, SEED) as stream:
        assert stream.sites == ("",)
        for _ in range(2):
            y = model(torch.ones(50))
            assert torch.equal(y != 0, mask(stream, "", 0.5, (50,)) & mask(stream, "", 0.25, (50,), 3))
            stream.step()
        assert torch.equal(F.dropout(torch.ones(50), key=7), F.dropout(torch.ones(50), key=7))


def test_layers_outside_the_model_are_functions_of_the_innermost_stream() -> None:
    inside, other, outside = nn.Dropout(0.5), nn.Dropout(0.5), nn.Dropout(0.5)
    x = torch.ones(50)
    with thinned.stream(inside, 1), thinned.stream(torch.nn.Sequential(other), 2) as inner:
        assert torch.equal(outside(x) != 0, mask(inner, "", 0.5, (50,)))
        assert torch.equal(inside(x) != 0, mask(Stream(inside, 1), "", 0.5, (50,)))


def test_the_model_itself_may_be_a_layer() -> None:
    """Its name is that of functions, so both are numbered together."""
    layer = nn.Dropout(0.5)
    with thinned.stream(layer, SEED) as stream:
        x = torch.ones(50)
        calls: list[Callable[[Tensor], Tensor]] = [layer, F.dropout, layer]
        for call, each in enumerate(calls):
            assert torch.equal(each(x) != 0, mask(stream, "", 0.5, (50,), call))


def test_a_shared_layer_is_one_site_by_its_first_name() -> None:
    layer = nn.Dropout(0.5)
    with thinned.stream(torch.nn.ModuleDict({"b": layer, "a": layer}), SEED) as stream:
        assert stream.sites == ("", "b")
        assert torch.equal(layer(torch.ones(50)) != 0, mask(stream, "b", 0.5, (50,)))
        assert torch.equal(layer(torch.ones(50)) != 0, mask(stream, "b", 0.5, (50,), 1))


def test_wrappers_of_torch_add_nothing_to_a_name() -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    block = checkpoint_wrapper(torch.nn.Sequential(torch.nn.Linear(2, 2), nn.Dropout(0.5)))
    model = torch.nn.Module()
    model._orig_mod = torch.nn.ModuleDict({"block": block})  # as torch.compile's wrapper has it
    assert "_orig_mod.block._checkpoint_wrapped_module.1" in dict(model.named_modules())
    with thinned.stream(model, SEED) as stream:
        assert stream.sites == ("", "block.1")


def test_sites_of_a_name_in_two_models_of_one_seed_keep_their_own_count() -> None:
    first, second = nn.Dropout(0.5), nn.Dropout(0.5)
    x = torch.ones(50)
    with thinned.stream(first, SEED) as stream, thinned.stream(second, SEED):
        assert torch.equal(first(x), second(x))
        assert torch.equal(torch.compile(first, backend="eager")(x), torch.compile(second, backend="eager")(x))
        assert torch.equal(first(x) != 0, mask(stream, "", 0.5, (50,), 2))


@pytest.mark.parametrize("randomness", ["error", "same", "different"])
def test_vmap_maps_over_one_call(randomness: str) -> None:
    layer = nn.Dropout(0.5)
    with thinned.stream(layer, SEED) as stream:
        y = torch.func.vmap(layer, randomness=randomness)(torch.ones(3, 50))
        assert torch.equal(y != 0, mask(stream, "", 0.5, (50,)).expand(3, 50))
        gradient = torch.func.grad(lambda x: layer(x).sum())(torch.ones(50))
        assert torch.equal(gradient != 0, mask(stream, "", 0.5, (50,), 1))
