"""A recomputed call has the mask of the call that it repeats, whoever recomputes it, in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch
from tests.stream.network import assert_same, batch, gradients, loss, network
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts, set_checkpoint_early_stop

import thinned
import thinned.nn.functional as F
from thinned import nn
from thinned.nn.stream import segment

SEED = 8
# torch's own, of a reentrant checkpoint inside another
pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
Run = Callable[[Tensor], Tensor]
Way = Callable[[Run, Tensor], Tensor]


class Again(torch.autograd.Function):
    """Hand-written checkpointing: the forward keeps the input, the backward runs the function again."""

    @staticmethod
    def forward(ctx: Any, run: Run, x: Tensor) -> Tensor:
        ctx.run = run
        ctx.save_for_backward(x)
        return run(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None]:
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = ctx.run(x)
        torch.autograd.backward(y, gradient)
        return None, x.grad


class InOrder(Again):
    repeats_in_order = True


class Separate(torch.autograd.Function):
    """The same in torch's newer form, whose forward has no ctx to be known by."""

    @staticmethod
    def forward(run: Run, x: Tensor) -> Tensor:
        return run(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Run, Tensor], output: Tensor) -> None:
        ctx.run = inputs[0]
        ctx.save_for_backward(inputs[1])

    backward = Again.backward


class Reversed(torch.autograd.Function):
    """Runs the two halves of what it is given in the reverse order, as a reversible network does."""

    @staticmethod
    def forward(ctx: Any, halves: tuple[Run, Run], x: Tensor) -> Tensor:
        ctx.halves, ctx.both = halves, x
        first, second = halves
        a, b = x.chunk(2)
        return torch.cat([first(a), second(b)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        found = []
        for run, part, g in reversed(list(zip(ctx.halves, ctx.both.chunk(2), gradient.chunk(2), strict=True))):
            leaf = part.detach().requires_grad_()
            with torch.enable_grad():
                y = run(leaf)
            found.append(torch.autograd.grad(y, leaf, g)[0])
        return None, torch.cat(found[::-1])


def by_hand(run: Run, x: Tensor) -> Tensor:
    output: Tensor = InOrder.apply(run, x)  # type: ignore[no-untyped-call]
    return output


def separately(run: Run, x: Tensor) -> Tensor:
    output: Tensor = Separate.apply(run, x)  # type: ignore[no-untyped-call]
    return output


def reversed_(first: Run, second: Run, x: Tensor) -> Tensor:
    output: Tensor = Reversed.apply((first, second), x)  # type: ignore[no-untyped-call]
    return output


def reentrant(run: Run, x: Tensor) -> Tensor:
    output: Tensor = checkpoint(run, x, use_reentrant=True)
    return output


def plain(run: Run, x: Tensor) -> Tensor:
    output: Tensor = checkpoint(run, x, use_reentrant=False)
    return output


def without_rng(use_reentrant: bool, run: Run, x: Tensor) -> Tensor:
    output: Tensor = checkpoint(run, x, use_reentrant=use_reentrant, preserve_rng_state=False)
    return output


def to_the_end(run: Run, x: Tensor) -> Tensor:
    with set_checkpoint_early_stop(False):
        return plain(run, x)


def selective(run: Run, x: Tensor) -> Tensor:
    contexts = partial(create_selective_checkpoint_contexts, [torch.ops.aten.mm.default, torch.ops.aten.addmm.default])
    output: Tensor = checkpoint(run, x, use_reentrant=False, context_fn=contexts)
    return output


def offloaded(run: Run, x: Tensor) -> Tensor:
    """Somebody else's hooks on top of the checkpoint's."""

    def inside(x: Tensor) -> Tensor:
        x = x.sin()
        with torch.autograd.graph.save_on_cpu():
            return run(x).asin()

    return plain(inside, x.clamp(-1, 1).asin())


def within(outer: Way, inner: Way, run: Run, x: Tensor) -> Tensor:
    return outer(lambda x: inner(run, x.clone()).clone(), x)


WAYS: dict[str, Way] = {
    "not reentrant": plain,
    "reentrant": reentrant,
    "not reentrant, rng state not kept": partial(without_rng, False),
    "reentrant, rng state not kept": partial(without_rng, True),
    "no early stop": to_the_end,
    "selective": selective,
    "by hand": by_hand,
    "plain in plain": partial(within, plain, plain),
    "plain in reentrant": partial(within, reentrant, plain),
    "reentrant in plain": partial(within, plain, reentrant),
    "reentrant in reentrant": partial(within, reentrant, reentrant),
    "plain in plain in plain": partial(within, plain, partial(within, plain, plain)),
    "by hand in plain": partial(within, plain, by_hand),
    "plain by hand": partial(within, by_hand, plain),
    "by hand in reentrant": partial(within, reentrant, by_hand),
    "by hand by hand": partial(within, by_hand, by_hand),
}
way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def directly(run: Run, x: Tensor) -> Tensor:
    return run(x)


def step(model: torch.nn.Module, forward: Run) -> list[Tensor]:
    """Gradients of parameters and of the input."""
    x = batch(0).requires_grad_()
    with thinned.stream(model, SEED) as stream:
        stream.step()
        loss(forward, x).backward()
    assert x.grad is not None
    return [*gradients(model), x.grad]


@way
def test_a_network_in_segments(way: Way) -> None:
    """A checkpoint a block; the blocks call one of their layers twice, and one block runs twice."""
    model = network(3)

    def forward(way: Way, x: Tensor) -> Tensor:
        for block in [*model.blocks, model.blocks[1]]:
            x = way(block, x)
        output: Tensor = model.head(x)
        return output

    assert_same(step(model, partial(forward, way)), step(model, partial(forward, directly)))


@way
def test_the_same_input_twice_in_two_segments(way: Way) -> None:
    """R-Drop: nothing but the segment tells the calls apart, and backward repeats the last first."""
    model = network()

    def forward(way: Way, x: Tensor) -> Tensor:
        return way(model, x) - 2 * way(model, x).sin()

    assert_same(step(model, partial(forward, way)), step(model, partial(forward, directly)))


@way
def test_the_same_input_twice_in_one_segment(way: Way) -> None:
    model = network()

    def twice(x: Tensor) -> Tensor:
        y: Tensor = model(x) - 2 * model(x).sin()
        return y

    assert_same(step(model, partial(way, twice)), step(model, twice))


@way
def test_one_weight_twice(way: Way) -> None:
    """DropConnect draws for the weight, which is always the same."""
    model = torch.nn.ModuleList([nn.drop_connect(torch.nn.Linear(6, 6), p=0.5)])

    def forward(way: Way, x: Tensor) -> Tensor:
        return way(model[0], x) - way(lambda x: model[0](model[0](x)), x)

    assert_same(step(model, partial(forward, way)), step(model, partial(forward, directly)))


@way
def test_functions(way: Way) -> None:
    model = torch.nn.Linear(6, 6)

    def block(x: Tensor) -> Tensor:
        return F.dropout(model(F.gaussian_dropout(x, 0.25)).tanh(), 0.5)

    def forward(way: Way, x: Tensor) -> Tensor:
        return F.dropout(way(block, x) - way(block, x), 0.5)

    assert_same(step(model, partial(forward, way)), step(model, partial(forward, directly)))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("way", [plain, reentrant, by_hand])
def test_recurrent_layers(way: Way, packed: bool) -> None:
    model = torch.nn.ModuleList([nn.LSTM(6, 6, dropout=0.5, recurrent_dropout=0.5)])

    def block(x: Tensor) -> Tensor:
        sequence: Any = x.unflatten(0, (4, 2))
        if packed:
            sequence = torch.nn.utils.rnn.pack_padded_sequence(sequence, torch.tensor([4, 2]))
        final: Tensor = model[0](sequence)[1][0][0]
        return final

    def forward(way: Way, x: Tensor) -> Tensor:
        return way(block, x) - way(block, x)

    assert_same(step(model, partial(forward, way)), step(model, partial(forward, directly)))


@pytest.mark.long
@way
def test_microbatches(way: Way) -> None:
    """Backward passes inside their part, after it, and all at the end."""
    model = network()

    def run(way: Way, together: bool) -> list[Tensor]:
        losses = []
        with thinned.stream(model, SEED) as stream:
            for index, rows in enumerate(batch(0).chunk(4)):
                with stream.part(index, 4):
                    losses.append(loss(lambda x: way(model, x), rows.requires_grad_()))
                    if index % 2 and not together:
                        losses.pop().backward()
                if losses and not together:
                    losses.pop().backward()
            for each in losses:
                each.backward()
        return gradients(model)

    expected = run(directly, False)
    assert_same(run(way, False), expected)
    assert_same(run(way, True), expected)


@way
def test_a_backward_pass_after_the_step(way: Way) -> None:
    model = network()

    def run(way: Way, late: bool) -> list[Tensor]:
        x = batch(0).requires_grad_()
        with thinned.stream(model, SEED) as stream:
            value = loss(lambda x: way(model, x), x)
            if late:
                stream.step()
                model(x)
            value.backward()
        return gradients(model)

    assert_same(run(way, True), run(directly, False))


@pytest.mark.parametrize("way", [plain, to_the_end, partial(within, plain, plain)])
def test_second_derivatives_and_graphs_that_are_kept(way: Way) -> None:
    model = network()

    def run(way: Way) -> list[Tensor]:
        x = batch(0).requires_grad_()
        with thinned.stream(model, SEED):
            value = loss(lambda x: way(model, x), x)
            (first,) = torch.autograd.grad(value, x, create_graph=True)
            (again,) = torch.autograd.grad(value, x, retain_graph=True)
            assert torch.equal(first, again)
            first.square().sum().backward()
        return gradients(model)

    assert_same(run(way), run(directly))


def test_hooks_of_others() -> None:
    model = network()
    expected = step(model, lambda x: model(x.clamp(-1, 1)).clamp(-1, 1))
    found = step(model, lambda x: offloaded(lambda x: model(x).clamp(-1, 1).sin(), x))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)


def test_new_calls_after_a_recomputation_go_on_where_the_forward_pass_was() -> None:
    layer = nn.Dropout(0.5)
    x = torch.ones(50, requires_grad=True)
    with thinned.stream(layer, SEED) as stream:
        for call in range(3):
            y = plain(layer, x)
            assert torch.equal(y, layer(x, key=stream.key("", call)))
            y.sum().backward()


@way
def test_a_backward_pass_in_another_thread(way: Way) -> None:
    """As autograd has it for every accelerator."""
    model = network()

    def run(way: Way) -> list[Tensor]:
        with thinned.stream(model, SEED), ThreadPoolExecutor(1) as pool:
            value = loss(lambda x: way(model, x) - way(model, x).sin(), batch(0).requires_grad_())
            pool.submit(value.backward).result()
        return gradients(model)

    assert_same(run(way), run(directly))


@pytest.mark.parametrize("way", [plain, to_the_end, partial(within, plain, plain)])
def test_a_look_at_what_is_saved_is_a_recomputation_too(way: Way) -> None:
    """Outside any backward pass."""
    layer = nn.Dropout(0.5)
    x = torch.ones(50, requires_grad=True)
    with thinned.stream(layer, SEED) as stream:
        first, second = (way(lambda x: layer(x).exp(), x) for _ in range(2))
        for y, call in ((second, 1), (first, 0)):
            node: Any = y.grad_fn
            while not hasattr(node, "_saved_result"):
                node = node.next_functions[0][0]
            assert torch.equal(node._saved_result, layer(torch.ones(50), key=stream.key("", call)).exp())
        assert torch.equal(layer(x), layer(x, key=stream.key("", 2)))
        (first + second).sum().backward()


def test_a_function_without_ctx_is_known_by_its_only_call_or_by_its_input() -> None:
    model = network()
    blocks: list[Any] = list(model.blocks)

    def forward(way: Way, x: Tensor) -> Tensor:
        for block in blocks:
            x = way(block.gaussian, x) + way(block.twice, x) - way(block.twice, x + 1)
        return x

    expected = step(model, partial(forward, directly))
    assert_same(step(model, partial(forward, separately)), expected)


def test_a_function_without_ctx_on_equal_inputs_is_an_error() -> None:
    layer = nn.Dropout(0.5)
    x = torch.ones(8, 6, requires_grad=True)
    with thinned.stream(torch.nn.ModuleDict({"drop": layer}), SEED):
        y = separately(layer, x) - separately(layer, x)
        with pytest.raises(
            RuntimeError, match=r"site 'drop', called in a backward pass, .* Got 2 that it may be\. Rec"
        ):
            y.sum().backward()


def test_a_reversible_function_is_known_by_its_inputs() -> None:
    layer = nn.Dropout(0.5)
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with thinned.stream(layer, SEED) as stream:
        reversed_(layer, layer, x).sum().backward()
        expected = torch.cat([layer(torch.ones(4, 6), key=stream.key("", call)) for call in (0, 1)])
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=0)
    with thinned.stream(layer, SEED), pytest.raises(RuntimeError, match="Got 2 that it may be"):
        reversed_(layer, layer, torch.ones(8, 6, requires_grad=True)).sum().backward()


def test_a_function_of_one_s_own_is_known_by_its_inputs_unless_it_says_that_it_keeps_the_order() -> None:
    layer = nn.Dropout(0.5)

    def twice(x: Tensor) -> Tensor:
        y: Tensor = layer(x) - layer(2 * x + 1)
        return y

    def run(way: Way, f: Run) -> Tensor | None:
        x = torch.ones(8, 6, requires_grad=True)
        with thinned.stream(layer, SEED):
            way(f, x).sum().backward()
        return x.grad

    unsaid: Way = Again.apply
    torch.testing.assert_close(run(unsaid, twice), run(directly, twice), rtol=0, atol=0)
    with pytest.raises(RuntimeError, match=r"Got 2 that it may be\. .* say repeats_in_order = True"):
        run(unsaid, lambda x: layer(x) - layer(x))


def test_a_hook_that_calls_a_layer_repeats_its_only_call() -> None:
    layer, other = nn.Dropout(0.5), nn.Dropout(0.5)
    x = torch.ones(50, requires_grad=True)
    found: list[Tensor] = []
    with thinned.stream(torch.nn.Sequential(layer, other), SEED):
        y = layer(x)
        z = other(x)
        for output in (y, z):
            output.register_hook(lambda gradient: found.append(layer(torch.ones(50))))
        y.sum().backward()
        assert torch.equal(found[0], y)
        layer(x)
        with pytest.raises(RuntimeError, match="Got 2 that it may be"):
            z.sum().backward()


def test_a_layer_that_the_step_has_not_called_is_an_error() -> None:
    layer, other = nn.Dropout(0.5), nn.Dropout(0.5)
    x = torch.ones(50, requires_grad=True)
    with thinned.stream(torch.nn.Sequential(layer, other), SEED):
        y = layer(x)
        y.register_hook(lambda gradient: other(gradient))
        with pytest.raises(RuntimeError, match=r"site '1', .* Got none in this step"):
            y.sum().backward()


def test_no_grad_and_inference_mode_are_no_segments() -> None:
    layer = nn.Dropout(0.5)
    x = torch.ones(50)
    with thinned.stream(layer, SEED) as stream:
        for call, mode in enumerate([torch.no_grad, torch.inference_mode, torch.enable_grad]):
            with mode():
                assert torch.equal(layer(x), layer(x, key=stream.key("", call)))


def test_another_torch_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    segment.require()
    segment._codes.cache_clear()
    monkeypatch.setattr(segment, "recomputation_hook", object)
    with pytest.raises(RuntimeError, match=rf"Got torch {torch.__version__.split('+')[0]}.* in another way"):
        thinned.stream(nn.Dropout(), SEED).__enter__()
    monkeypatch.undo()
    segment._codes.cache_clear()
    segment.require()


def test_a_segment_is_forgotten_with_its_graph() -> None:
    model = network()
    x = batch(0).requires_grad_()
    with thinned.stream(model, SEED) as stream:
        for way in (plain, reentrant, by_hand):
            value = loss(partial(way, model), x)
            assert len(stream._ledger._segments) == 1
            value.backward()
            del value
            assert not stream._ledger._segments


def test_a_ctx_is_what_the_engine_calls_the_node() -> None:
    """What `segment.py` rests on."""
    seen: list[FunctionCtx] = []

    class Probe(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            assert not torch._C._is_fwd_grad_enabled()
            seen.append(ctx)
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            assert seen == [ctx]
            assert torch._C._current_autograd_node() is ctx
            return gradient

    probe: Callable[[Tensor], Tensor] = Probe.apply
    probe(torch.ones(2, requires_grad=True)).sum().backward()
    assert torch._C._is_fwd_grad_enabled()
