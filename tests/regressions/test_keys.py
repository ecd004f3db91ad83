"""What others get wrong about the seed: where it is read, how much of it counts, and whether it moves on."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.regressions.example import build, run, sample
from torch import Tensor

from thinned import noise
from thinned.nn.variants import Variant
from thinned.ops import drop, gaussian

OPERATORS: list[Callable[..., Tensor]] = [drop, gaussian]
KEY = 0x0123456789ABCDEF
FAMILY = [KEY, *(KEY ^ 1 << bit for bit in range(64))]  # a key, and every key that differs from it in one bit


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_key_is_a_number_not_where_it_lies(operator: Callable[..., Tensor]) -> None:
    """xformers (Triton): the dropout kernel took the seed's address for the seed."""
    x = torch.ones(257)
    expected = operator(x, 0.5, key=KEY)
    table = torch.tensor([[1, KEY, 3], [4, 5, KEY]])
    places = [table[0, 1], table[1, 2], table.t()[1, 0], table[1, 2].clone(), torch.tensor([KEY]).expand(3)[2]]
    places += [table[:, 1].numpy()[0].item()]
    for key in places:
        assert torch.equal(operator(x, 0.5, key=key), expected)
    one = torch.tensor(KEY)
    first = operator(x, 0.5, key=one)
    one.add_(1)
    assert torch.equal(first, expected)
    assert torch.equal(operator(x, 0.5, key=one), operator(x, 0.5, key=KEY + 1)), "same address, another number"


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_key_that_was_overwritten_never_gives_another_gradient(operator: Callable[..., Tensor]) -> None:
    """flash-attention 3: forward and backward drop different units; a key that is read again may have changed."""
    x, incoming, key = torch.ones(257, requires_grad=True), torch.linspace(1, 2, 257), torch.tensor(KEY)
    output = operator(x, 0.5, key=key)
    key.add_(1)
    try:
        (gradient,) = torch.autograd.grad(output, x, incoming)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
    else:
        assert torch.equal(gradient, operator(incoming, 0.5, key=KEY))


def test_every_bit_of_a_key_counts(keyed: Variant) -> None:
    """xformers (Triton): seeds had 16 bits; torch 2.13's flag for eager masks under compile lost a seed's high word."""
    layer, x = keyed.module(p=0.5), sample(keyed).repeat(4, *[1] * (len(keyed.layout.split()) - 1))
    outputs = [layer(x, key=key) for key in FAMILY]
    for one, other in itertools.combinations(outputs, 2):
        assert not torch.equal(one, other)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 64, 1000])
def test_masks_of_keys_that_differ_in_one_bit_are_the_oracle_s(size: int) -> None:
    """flash-attention (AMD, Triton): a constant seed. Here 65 related keys, each against NumPy."""
    for key in FAMILY:
        kept = drop(torch.ones(size), 0.5, key=key).numpy() != 0
        assert np.array_equal(kept, noise.bernoulli(key, 0.5, (size,)))


def test_each_call_draws_anew_and_a_seed_starts_again(variant: Variant) -> None:
    """flash-attention 2: dropout in layer norm did not advance the generator, so every layer had one mask; Paddle and
    flash-attention on AMD: the same seed in every call; baal 2.1: a mask that is never refreshed."""
    module, x = build(variant, 0.5), sample(variant)
    runs = []
    for seed in (0, 1, 2, 0):
        torch.manual_seed(seed)
        runs.append([run(module, x) for _ in range(6)])
    *first_three, again = runs
    for one, other in itertools.combinations(itertools.chain(*first_three), 2):
        assert not torch.equal(one, other)
    assert all(torch.equal(one, other) for one, other in zip(runs[0], again, strict=True))


def test_two_layers_of_a_network_have_two_masks(variant: Variant) -> None:
    """flash-attention 2: two layers in a row dropped the same units."""
    first, second, x = build(variant, 0.5), build(variant, 0.5), sample(variant)
    second.load_state_dict(first.state_dict())
    assert not torch.equal(run(first, x), run(second, x))


def test_torch_s_seed_alone_decides(variant: Variant) -> None:
    """transformers 5.23: the adapter's LayerDrop asks np.random, which torch.manual_seed does not reach."""
    module, x = build(variant, 0.5), sample(variant)
    outputs = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  the generator that must not matter, nor move
        torch.manual_seed(3)
        outputs.append(run(module, x))
        assert random.random() == random.Random(seed).random()
        assert np.random.random_sample() == np.random.RandomState(seed).random_sample()  # noqa: NPY002
    assert torch.equal(*outputs)
