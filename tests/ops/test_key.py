"""Where keys come from: one draw a call from torch's CPU generator, or the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from thinned.ops import as_key, draw_key, drop, gaussian

OPERATORS: list[Callable[..., Tensor]] = [drop, gaussian]


@pytest.fixture(params=OPERATORS, ids=lambda operator: str(operator.__name__))
def operator(request: pytest.FixtureRequest) -> Iterator[Callable[..., Tensor]]:
    with torch.random.fork_rng(devices=[]):
        yield request.param


def one_randint(seed: int) -> tuple[Tensor, Tensor]:
    """The key that torch draws at this seed, and the state it leaves."""
    torch.manual_seed(seed)
    key = torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64)
    return key, torch.get_rng_state()


@pytest.mark.parametrize("shape", [(), (0,), (7,), (300, 500)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=str)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_call_draws_one_number(
    operator: Callable[..., Tensor], shape: tuple[int, ...], dtype: torch.dtype, device: str
) -> None:
    """Whatever the size, the dtype and the device: the generator moves by exactly one randint, which is the key."""
    key, state = one_randint(5)
    torch.manual_seed(5)
    output = operator(torch.ones(shape, dtype=dtype, device=device), 0.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert output.device.type == device
    if device == "cpu":
        assert torch.equal(output, operator(torch.ones(shape, dtype=dtype), 0.5, key=key))


def test_a_backward_pass_draws_nothing(operator: Callable[..., Tensor]) -> None:
    output = operator(torch.ones(8, requires_grad=True), 0.5)
    state = torch.get_rng_state()
    output.sum().backward()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_seed_repeats_and_calls_differ(operator: Callable[..., Tensor]) -> None:
    x = torch.ones(64)
    torch.manual_seed(1)
    first, second = operator(x, 0.5), operator(x, 0.5)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(operator(x, 0.5), first)
    with torch.random.fork_rng(devices=[]):
        operator(x, 0.5)
    assert torch.equal(operator(x, 0.5), second)


def test_default_device_moves_nothing(operator: Callable[..., Tensor]) -> None:
    """A key is made on the CPU, where it has a value: not on "meta", and not on a GPU, which would wait for it."""
    x = torch.ones(64)
    torch.manual_seed(2)
    drawn, given = operator(x, 0.5), operator(x, 0.5, key=7)
    torch.manual_seed(2)
    with torch.device("meta"):
        assert torch.equal(operator(x, 0.5), drawn)
        assert torch.equal(operator(x, 0.5, key=7), given)
        assert (draw_key().device.type, as_key(7).device.type) == ("cpu", "cpu")
    torch.manual_seed(2)
    torch.set_default_device("meta")
    try:
        assert torch.equal(operator(x, 0.5), drawn)
        assert torch.equal(operator(x, 0.5, key=7), given)
    finally:
        torch.set_default_device(None)  # a device, even the first one, would stay as a mode


def test_generator(operator: Callable[..., Tensor]) -> None:
    x = torch.ones(64)
    state = torch.get_rng_state()
    own = torch.Generator().manual_seed(4)
    first, second = operator(x, 0.5, generator=own), operator(x, 0.5, generator=own)
    assert not torch.equal(first, second)
    assert torch.equal(operator(x, 0.5, generator=own.manual_seed(4)), first)
    assert torch.equal(torch.get_rng_state(), state), "torch's own is left alone"


@pytest.mark.parametrize("key", [0, 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_an_int_and_a_tensor_of_its_bits_are_one_key(operator: Callable[..., Tensor], key: int) -> None:
    x = torch.ones(64)
    bits = torch.tensor(key - 2**64 if key >= 2**63 else key)
    state = torch.get_rng_state()
    assert torch.equal(operator(x, 0.5, key=key), operator(x, 0.5, key=bits))
    assert torch.equal(operator(x, 0.5, key=key), operator(x, 0.5, key=key))
    assert torch.equal(torch.get_rng_state(), state), "a given key draws nothing"


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (-1, ValueError, r"`key`: `key` must be an integer in \[0, 2\*\*64\)\. Got -1\."),
        (2**64, ValueError, r"must be an integer in \[0, 2\*\*64\)"),
        (1.5, TypeError, r"must be an integer in \[0, 2\*\*64\)\. Got 1\.5\. Pass an int\."),
        (True, TypeError, r"must be an integer"),
        ("7", TypeError, r"must be an integer"),
        (torch.tensor(7.0), TypeError, r"`key`: a tensor must be 0-dim int64\. Got \(\) of torch\.float32\."),
        (torch.tensor([7]), TypeError, r"Got \(1,\) of torch\.int64\."),
        (torch.tensor(7, dtype=torch.int32), TypeError, r"Got \(\) of torch\.int32\."),
    ],
)
def test_bad_keys_are_refused(
    operator: Callable[..., Tensor], key: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        operator(torch.ones(4), 0.5, key=key)


def test_key_and_generator_are_one_too_many(operator: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match=r"`key` and `generator`: at most one may be given\. Got both\."):
        operator(torch.ones(4), 0.5, key=1, generator=torch.Generator())


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoint_sees_the_same_mask_twice(operator: Callable[..., Tensor], use_reentrant: bool) -> None:
    """The recomputed forward pass draws its keys again, from the state that the checkpoint kept."""
    masks: list[Tensor] = []

    def block(x: Tensor) -> Tensor:
        noisy = operator(operator(x.sin(), 0.5), 0.3)
        masks.append(noisy.detach())
        return noisy.cos()

    def gradient(output: Tensor) -> Tensor:
        x.grad = None
        torch.rand(5)  # the generator has moved on when the backward pass begins
        output.sum().backward()
        assert x.grad is not None
        return x.grad

    x = torch.linspace(0, 1, 64, requires_grad=True)
    torch.manual_seed(6)
    output = checkpoint(block, x, use_reentrant=use_reentrant)
    recomputed = gradient(output)
    assert len(masks) == 2
    assert torch.equal(*masks)
    torch.manual_seed(6)
    plain = block(x)
    assert torch.equal(plain, output)
    assert torch.equal(gradient(plain), recomputed)
