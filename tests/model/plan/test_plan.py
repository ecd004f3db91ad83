"""`thinned.plan` puts dropout where the texts do, in networks of every style, and says why."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.models import ByHand, made, named, perceptron
from tests.run import Run
from torch import Tensor, nn

import thinned
import thinned.nn

Expected = list[tuple[str, str, float, bool]]

BLOCKS = [(layer, block) for layer in (1, 2, 3, 4) for block in (0, 1)]
PLANS: dict[str, Expected] = {
    "perceptron": [("output of 1", "Dropout", 0.5, True), ("output of 3", "Dropout", 0.2, True)],
    "functional cnn": [
        ("input of conv2", "Dropout2d", 0.1, True),
        ("input of hidden", "Dropout", 0.5, True),
        ("input of last", "Dropout", 0.3, True),
    ],
    "selu": [
        ("output of 1", "FeatureAlphaDropout", 0.05, True),
        ("output of 4", "AlphaDropout", 0.1, True),  # behind the flattening: what the linear layer reads are units
        ("output of 6", "AlphaDropout", 0.1, True),
    ],
    "tagger": [
        ("input of lower", "LockedDropout", 0.3, True),
        ("dropout of lower", "set p", 0.3, False),
        ("input of upper", "LockedDropout", 0.3, True),
        ("output of upper", "LockedDropout", 0.3, True),
    ],
    "encoder": [
        *(
            (f"{what} of encoder.layers.{layer}.{name}", "set p", 0.1, True)
            for layer in (0, 1)
            for what, name in (("dropout", "self_attn"), ("p", "dropout1"), ("p", "dropout"), ("p", "dropout2"))
        ),
        ("input of head", "Dropout", 0.1, True),
    ],
    "by hand": [
        ("input of linear()#2 in the model", "Dropout", 0.5, False),
        ("output of tanh() in the model", "StochasticDepth", 0.1, True),
        # Its features are an output as well, so that only the last layer's own view of them is thinned.
        ("input of linear()#3 in the model", "Dropout", 0.2, True),
    ],
    "decoder": [
        ("dropout_p of scaled_dot_product_attention() in the model", "set p", 0.1, True),
        ("output of proj", "Dropout", 0.1, True),
        ("input of down", "Dropout", 0.1, True),
        ("output of down", "Dropout", 0.1, True),
    ],
    "torchvision resnet18": [
        *(
            line
            for number, (layer, block) in enumerate(BLOCKS)
            for line in (
                (f"input of layer{layer}.{block}.conv2", "Dropout2d", round(0.1 + 0.1 * number / 7, 3), False),
                (f"output of layer{layer}.{block}.bn2", "StochasticDepth", round(0.1 * (number + 1) / 8, 4), True),
            )
        ),
        ("input of fc", "Dropout", 0.2, True),
    ],
    "torchvision alexnet": [
        ("output of features.2", "Dropout2d", 0.1, True),
        ("output of features.5", "Dropout2d", 0.133, True),
        ("output of features.7", "Dropout2d", 0.167, True),
        ("output of features.9", "Dropout2d", 0.2, True),
        ("output of classifier.5", "Dropout", 0.5, True),
    ],
    "timm vit": [
        ("p of pos_drop", "set p", 0.1, True),
        *(
            (f"p of blocks.{block}.{name}", "set p", 0.1, True)
            for block in (0, 1)
            for name in ("attn.attn_drop", "attn.proj_drop", "mlp.drop1", "mlp.drop2")
        ),
        ("p of head_drop", "set p", 0.1, True),
    ],
    "transformers bert": [
        ("p of bert.embeddings.dropout", "set p", 0.1, True),
        *(
            (f"{what} of bert.encoder.layer.{layer}.{name}", variant, 0.1, True)
            for layer in (0, 1)
            for what, name, variant in (
                ("p", "attention.self.dropout", "set p"),
                ("p", "attention.output.dropout", "set p"),
                ("output", "intermediate.intermediate_act_fn", "Dropout"),
                ("p", "output.dropout", "set p"),
            )
        ),
        ("p of dropout", "set p", 0.1, True),
    ],
}


@pytest.mark.parametrize("name", named(*PLANS))
def test_the_places(name: str) -> None:
    model, example = made(name)
    plan = thinned.plan(model, example)
    assert [(line.where, line.variant, line.p, line.enabled) for line in plan] == PLANS[name]
    assert all(line.reason.endswith(".") and line.source for line in plan)


def lines(model: nn.Module, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
    return [(line.where, line.variant) for line in thinned.plan(model, *args, **kwargs).enabled]


def test_dropout_that_is_there_is_left_alone_and_not_doubled() -> None:
    net = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Dropout(0.4), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 2))
    plan = thinned.plan(net, torch.randn(8, 64))
    assert [line.where for line in plan] == ["output of 4"]
    assert plan.there == ("2: Dropout, p = 0.4",)


def test_dropout_that_is_there_with_p_0_is_set_instead_of_doubled() -> None:
    net = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Dropout(0.0), nn.Linear(512, 2))
    assert lines(net, torch.randn(8, 64)) == [("p of 2", "set p")]


def test_a_functional_dropout_that_is_there_counts() -> None:
    net = Run(lambda self, x: self.b(F.dropout(F.relu(self.a(x)), 0.2, self.training)), a=nn.Linear(8, 64), b=nn.Linear(64, 2))  # fmt: skip # noqa: E501
    plan = thinned.plan(net, torch.randn(8, 8))
    assert not plan.lines
    assert plan.there == ("dropout() in the model, p = 0.2",)


def test_the_input_and_the_output_are_left_alone() -> None:
    linear = nn.Sequential(nn.Linear(64, 512))
    assert not thinned.plan(linear, torch.randn(8, 64)).lines
    squashed = nn.Sequential(nn.Linear(64, 512), nn.Sigmoid())  # its activation is the answer
    assert not thinned.plan(squashed, torch.randn(8, 64)).lines
    early = nn.Sequential(nn.ReLU(), nn.Linear(64, 512))  # an activation of the raw input
    assert not thinned.plan(early, torch.randn(8, 64)).lines


def test_features_that_the_model_returns_are_thinned_for_the_next_layer_only() -> None:
    def forward(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.act(self.a(x))
        return self.b(features), features

    net = Run(forward, a=nn.Linear(16, 64), act=nn.ReLU(), b=nn.Linear(64, 2))
    assert lines(net, torch.randn(8, 16)) == [("input of b", "Dropout")]


def test_frozen_parts_are_left_alone_and_counted() -> None:
    net = nn.Sequential(perceptron()[:4], nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    net[0].requires_grad_(False)
    plan = thinned.plan(net, torch.randn(8, 64))
    assert [line.where for line in plan] == ["output of 0.3", "output of 2"]  # both are read by trained layers
    assert "1 place in frozen parts left out: nothing is trained there." in plan.notes
    net.requires_grad_(False)
    assert not thinned.plan(net, torch.randn(8, 64)).lines


@pytest.mark.zoo
def test_a_frozen_backbone_under_a_trained_head() -> None:
    model, example = made("torchvision resnet18")
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("fc.")
    assert lines(model, example) == [("input of fc", "Dropout")]


def test_no_gates_no_narrow_layers_no_depthwise_convolutions() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        x = F.silu(self.expand(x))
        x = F.silu(self.depth(x))  # each channel on its own: dropping before it would be dropping behind it
        gate = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))
        return self.project(x * gate)

    net = Run(
        forward,
        expand=nn.Conv2d(3, 32, 1),
        depth=nn.Conv2d(32, 32, 3, padding=1, groups=32),
        down=nn.Conv2d(32, 16, 1),
        up=nn.Conv2d(16, 32, 1),
        project=nn.Conv2d(32, 8, 1),
    )
    assert lines(net, torch.randn(2, 3, 8, 8)) == [("input of project", "Dropout2d")]
    narrow = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2))
    plan = thinned.plan(narrow, torch.randn(8, 64))
    assert not plan.lines
    assert plan.notes == ("1 layer left out that read fewer than 16 units.",)


def test_layers_that_read_one_tensor_share_one_mask() -> None:
    net = Run(
        lambda self, x: self.a(h := self.act(self.stem(x))) + self.b(h) * 2,
        stem=nn.Conv2d(3, 32, 3, padding=1), act=nn.ReLU(), a=nn.Conv2d(32, 8, 1), b=nn.Conv2d(32, 8, 3, padding=1),
    )  # fmt: skip
    assert lines(net, torch.randn(2, 3, 8, 8)) == [("output of act", "Dropout2d")]


def test_a_module_that_runs_twice_is_told_apart_by_what_reads_it() -> None:
    net = Run(
        lambda self, x: self.c(self.act(self.b(self.act(self.a(x))))),
        act=nn.ReLU(), a=nn.Linear(8, 64), b=nn.Linear(64, 64), c=nn.Linear(64, 2),
    )  # fmt: skip
    assert lines(net, torch.randn(4, 8)) == [("input of b", "Dropout"), ("input of c", "Dropout")]


def test_a_shared_layer_is_thinned_where_every_run_of_it_wants_it() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return F.relu(self.shared(F.relu(self.shared(F.relu(self.a(x))))))

    net = Run(forward, a=nn.Linear(8, 64), shared=nn.Linear(64, 64))
    assert lines(net, torch.randn(4, 8)) == [("input of linear() in shared", "Dropout")]
    mixed = Run(lambda self, x: self.shared(F.relu(self.shared(x))), shared=nn.Linear(64, 64))
    (line,) = thinned.plan(mixed, torch.randn(4, 64))
    assert not line.enabled
    assert line.reason.endswith("off, because the module runs in other places too.")


def test_recurrent_layers_that_read_the_raw_input_or_give_a_last_state() -> None:
    net = Run(lambda self, x: self.out(self.rnn(x)[1][-1]), rnn=nn.GRU(16, 32, batch_first=True), out=nn.Linear(32, 2))
    assert lines(net, torch.randn(4, 7, 16)) == [("input of out", "Dropout")]


def test_cells_in_a_loop_are_left_alone_with_a_note() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 32)
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.out(state)  # type: ignore[no-any-return]

    plan = thinned.plan(Run(forward, cell=nn.GRUCell(16, 32), out=nn.Linear(32, 2)), torch.randn(4, 7, 16))
    assert not plan.lines
    assert "cell" in plan.notes[0]


def test_attention_by_hand_is_dropped_at_its_weights() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return x + self.out(torch.softmax(q @ k.mT / 4, -1) @ v)  # type: ignore[no-any-return]

    net = Run(forward, qkv=nn.Linear(16, 48), out=nn.Linear(16, 16))
    assert lines(net, torch.randn(2, 5, 16)) == [
        ("output of softmax() in the model", "Dropout"),
        ("output of out", "Dropout"),
    ]


def test_a_number_that_attention_is_told_is_set_where_it_is_kept() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.attn_dropout = nn.Linear(16, 48), 0.0

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).chunk(3, -1)
            return F.scaled_dot_product_attention(q, k, v, dropout_p=self.attn_dropout if self.training else 0.0)

    net = nn.Sequential(Attention(), nn.Linear(16, 4))
    assert lines(net, torch.randn(2, 5, 16))[0] == ("attn_dropout of 0", "set p")


def test_sums_that_are_no_residual_branches() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        a, b = F.relu(self.a(x)), F.relu(self.b(x))
        gates = a + b  # two layers side by side
        return self.c(gates * torch.sigmoid(gates) + self.scale)  # type: ignore[no-any-return]

    net = Run(forward, a=nn.Linear(32, 32), b=nn.Linear(32, 32), c=nn.Linear(32, 2))
    net.scale = nn.Parameter(torch.ones(32))
    assert all(line.variant != "StochasticDepth" for line in thinned.plan(net, torch.randn(4, 32)))


def test_a_model_with_dropout_inside_its_branches_gets_no_stochastic_depth_besides() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return x + self.b(F.dropout(F.relu(self.a(x)), 0.3, self.training))  # type: ignore[no-any-return]

    plan = thinned.plan(Run(forward, a=nn.Linear(32, 64), b=nn.Linear(64, 32)), torch.randn(4, 32))
    assert [(line.variant, line.enabled) for line in plan] == [("StochasticDepth", False)]


@pytest.mark.parametrize("p", [0.05, 0.0])
def test_an_adapter_with_dropout_gets_no_other(p: float) -> None:
    class Adapter(nn.Module):
        """A frozen layer with a low-rank branch beside it, as LoRA's."""

        def __init__(self) -> None:
            super().__init__()
            self.base = nn.Linear(32, 32).requires_grad_(False)
            self.drop, self.down, self.up = nn.Dropout(p), nn.Linear(32, 4), nn.Linear(4, 32)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.base(x) + 2.0 * self.up(self.down(self.drop(x)))
            return out

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.query, self.key, self.value = nn.Linear(32, 32), Adapter(), nn.Linear(32, 32), Adapter()

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            p = 0.1 if self.training else 0.0
            return F.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x), dropout_p=p)

    lines = thinned.plan(Attention(), torch.randn(4, 6, 32))
    places = [(line.where, line.variant, line.p) for line in lines]
    assert places == ([] if p else [(f"p of {name}.drop", "set p", 0.1) for name in ("query", "value")])


def test_control_flow_is_followed_as_the_example_takes_it() -> None:
    net, x = ByHand(), torch.randn(8, 64)
    assert lines(net, x, deep=True) != lines(net, x)


@pytest.mark.parametrize("name", named("functional cnn", "timm vit"))
def test_the_model_is_as_it_was(name: str) -> None:
    net, x = made(name)
    net.add_module("idle", thinned.nn.Dropout(0.0))
    list(net.children())[1].eval()
    before = copy.deepcopy(net)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]  # noqa: NPY002
    thinned.plan(net, x)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]  # noqa: NPY002
    assert torch.equal(states[0], after[0])
    assert states[1:] == after[1:]
    for (part, module), (_, twin) in zip(net.named_modules(), before.named_modules(), strict=True):
        assert module.training == twin.training, part
        plain = {key for key, value in vars(module).items() if isinstance(value, int | float | str | None)}
        assert {key: vars(module)[key] for key in plain} == {key: vars(twin)[key] for key in plain}, part
        assert not module._forward_hooks
    for key, value in before.state_dict().items():
        assert torch.equal(value, net.state_dict()[key]), key


class ByNumPy(torch.autograd.Function):
    """An operation by NumPy, which no function of torch sees."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.from_numpy(np.maximum(x.detach().numpy(), 0.0))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class FastReLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return ByNumPy.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class Mystery(FastReLU):
    pass


def test_where_the_graph_has_a_gap_the_order_of_modules_tells_or_a_note() -> None:
    net = nn.Sequential(nn.Linear(16, 512), FastReLU(), nn.Linear(512, 64), Mystery(), nn.Linear(64, 2))
    plan = thinned.plan(net, torch.randn(8, 16))
    assert [(line.where, line.variant, line.p) for line in plan] == [("input of 2", "Dropout", 0.5)]
    assert "What 4 reads was made outside of torch's functions: no rule speaks there. Add lines by hand." in plan.notes
    thinned.apply(net, plan)
    assert thinned.inspect(net, torch.randn(8, 16))["2.thinned_input"].active == "train"


def test_the_example_is_as_it_was() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        if self.training:
            x[:, 0] = 0.0  # as SpecAugment is often written
        return self.b(F.relu(self.a(x)))  # type: ignore[no-any-return]

    example = torch.ones(8, 16)
    plan = thinned.plan(Run(forward, a=nn.Linear(16, 64), b=nn.Linear(64, 2)), example)
    assert len(plan) == 1
    assert bool((example == 1).all())


def test_the_table() -> None:
    model = nn.Sequential(
        nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 2)
    )
    text = str(thinned.plan(model, torch.randn(8, 64))).splitlines()
    assert text[1].split()[:7] == ["[x]", "output", "of", "1", "Dropout", "0.5", "8x512"]
    assert text[3:5] == ["Already there, and left as it is:", "  3: Dropout, p = 0.1"]
    assert text[-1].startswith("Note: Dropout asks for more updates")


def test_nothing_is_found_in_nothing() -> None:
    assert str(thinned.plan(nn.Identity(), torch.ones(2, 2))) == "No place for dropout was found."


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"`plan`: `model` must be a torch\.nn\.Module\. Got function"):
        thinned.plan(lambda x: x, torch.ones(1))  # type: ignore[arg-type]


def test_an_example_without_a_batch_is_told_of() -> None:
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 3))
    plan = thinned.plan(net, torch.randn(3, 16, 16))
    assert not plan.lines
    assert plan.notes == (
        "The convolutions of 2 read an example without a batch axis: nothing was put before them. Plan with a batch.",
    )
