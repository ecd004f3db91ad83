"""`thinned.convert` and `thinned.revert`, one kind of module at a time: what is taken, goes along or is left."""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.utils.prune
from torch import Tensor

import thinned

Module = torch.nn.Module


class Tagger(Module):
    """A recurrent network, its input's dropout and a head."""

    def __init__(self, rnn: Any) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(0.2)
        self.rnn = rnn
        self.head = torch.nn.LazyLinear(3)

    def forward(self, input: Tensor) -> Tensor:
        tags: Tensor = self.head(self.rnn(self.dropout(input))[0])
        return tags


@pytest.mark.parametrize(
    "name", ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]
)
@pytest.mark.parametrize("inplace", [False, True])
def test_settings_of_torch_s_dropouts_stay(name: str, inplace: bool) -> None:
    stock = getattr(torch.nn, name)(0.3, inplace=inplace).eval()
    stock.remark = ["mine"]
    model = torch.nn.Sequential(stock)
    (row,) = thinned.convert(model).changed
    layer: Any = model[0]
    assert type(layer) is getattr(thinned.nn, name)
    assert (row.was, row.now, row.p) == (f"torch.nn.{name}", f"thinned.nn.{name}", 0.3)
    assert (layer.p, layer.training) == (0.3, False)
    assert layer.remark is stock.remark
    assert repr(layer) == f"{name}(p=0.3{', inplace=True' if layer.inplace else ''})"
    # Whether the input is overwritten is as it was: torch's own alpha dropouts never do it.
    shape = (4, 3, *[2] * (int(name[-2]) if name[-1] == "d" else 1))
    overwritten = []
    for module in (stock, layer):
        input = torch.randn(shape)
        before = input.clone()
        module.train()(input)
        overwritten.append(not torch.equal(input, before))
    assert overwritten[0] == overwritten[1] == layer.inplace
    assert ("not in place" in row.note) == (inplace and not layer.inplace)


def test_hooks_go_along_and_their_handles_work() -> None:
    stock = torch.nn.Dropout(0.5)
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), stock)
    called: list[str] = []
    handles = [
        stock.register_forward_pre_hook(lambda module, args: called.append("before")),
        stock.register_forward_hook(lambda module, args, output: called.append("after"), always_call=True),
        stock.register_full_backward_hook(lambda module, grad_input, grad_output: called.append("backward")),
        stock.register_state_dict_post_hook(lambda *_: called.append("state")),
    ]
    thinned.convert(model)
    late = model[1].register_full_backward_pre_hook(lambda module, grad_output: called.append("late"))
    model(torch.randn(2, 3)).sum().backward()
    model.state_dict()
    assert called == ["before", "after", "late", "backward", "state"]
    thinned.revert(model)
    called.clear()
    model(torch.randn(2, 3)).sum().backward()
    assert called == ["before", "after", "late", "backward"]
    thinned.convert(model)
    for handle in (*handles, late):
        handle.remove()
    called.clear()
    model(torch.randn(2, 3)).sum().backward()
    model.state_dict()
    assert not called


def test_a_shared_module_stays_shared() -> None:
    dropout = torch.nn.Dropout(0.5)
    block = torch.nn.Sequential(torch.nn.Linear(2, 2), dropout)
    model: Any = torch.nn.ModuleDict({"one": block, "two": block, "three": torch.nn.ModuleList([dropout])})
    report = thinned.convert(model, only="three.0")  # by any of its names
    (row,) = report.changed
    assert (row.path, row.note) == ("one.1", "shared, also at three.0")
    assert model["one"][1] is model["two"][1] is model["three"][0]
    assert type(block[1]) is thinned.nn.Dropout
    report.revert()
    assert block[1] is model["three"][0] is dropout


def test_mode_follows_on_the_way_back_and_p_does_not() -> None:
    dropout = torch.nn.Dropout(0.5)
    model: Any = torch.nn.Sequential(dropout)
    thinned.convert(model)
    model.eval()
    model[0].p = 0.1
    thinned.revert(model)
    assert (dropout.training, dropout.p) == (False, 0.5)


def test_a_report_undoes_its_own_changes_only() -> None:
    model = torch.nn.ModuleDict({name: torch.nn.Dropout(0.5) for name in "ab"})
    first, second = (thinned.convert(model, only=name) for name in "ab")
    assert [row.path for row in first.changed] == ["a"]
    undone = first.revert()
    assert [(row.path, row.was, row.now) for row in undone.changed] == [("a", "thinned.nn.Dropout", "torch.nn.Dropout")]
    assert [type(model[name]) for name in "ab"] == [torch.nn.Dropout, thinned.nn.Dropout]
    assert repr(second) == "<Conversion: 1 changed, 0 left>"
    with pytest.raises(RuntimeError, match="must be the report of a conversion"):
        undone.revert()


def test_what_differs_afterwards_is_as_the_page_says() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(0.5))
    spiked = torch.full((64,), torch.inf)
    assert model(spiked).isnan().any()
    thinned.convert(model)
    assert model(spiked).unique().tolist() == [0.0, torch.inf]
    with pytest.raises(TypeError, match="floating"):
        model(torch.ones(3, dtype=torch.int64))
    assert torch.equal(model.eval()(torch.ones(3, dtype=torch.int64)), torch.ones(3, dtype=torch.int64))


# Stochastic depth.


@pytest.mark.zoo
def test_every_library_s_stochastic_depth_is_taken() -> None:
    from timm.layers.drop import DropPath
    from torchvision.ops import StochasticDepth
    from transformers.models.convnext.modeling_convnext import ConvNextDropPath
    from transformers.models.poolformer.modeling_poolformer import PoolFormerDropPath
    from transformers.models.segformer.modeling_segformer import SegformerDropPath

    paths = [DropPath(0.25), ConvNextDropPath(0.25), SegformerDropPath(0.25), PoolFormerDropPath(0.25)]
    depths = [StochasticDepth(0.25, "row"), StochasticDepth(0.25, "batch")]
    model: Any = torch.nn.Sequential(*paths, *depths)
    random_states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    assert len(thinned.convert(model).changed) == 6
    assert torch.equal(torch.get_rng_state(), random_states[0])
    assert random.getstate() == random_states[1]
    assert np.array_equal(np.random.get_state()[1], random_states[2])  # type: ignore[index] # noqa: NPY002
    assert all(isinstance(layer, thinned.nn.StochasticDepth) for layer in model)
    assert [layer.mode for layer in model] == ["row"] * 5 + ["batch"]
    for layer in model[:4]:
        assert "drop_prob" not in vars(layer)  # it is p
        assert layer.drop_prob == 0.25
        layer.drop_prob = 0.75
        assert layer.p == 0.75
        with pytest.raises(ValueError, match=r"must be a number in \[0, 1\]"):
            layer.drop_prob = 75


class DropPath(Module):
    """As in timm; `wrong` has what people's own copies get wrong."""

    def __init__(self, drop_prob: float | None = 0.5, wrong: str = "", scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob, self.wrong, self.scale_by_keep = drop_prob, wrong, scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        assert self.drop_prob is not None
        keep = self.drop_prob if self.wrong == "keeps with the drop probability" else 1 - self.drop_prob
        if self.wrong == "scales at inference" and not self.training:
            return x * keep
        if (self.drop_prob == 0 or not self.training) and self.wrong != "ignores the mode":
            return x
        rows = 1 if self.wrong == "draws once a batch" else x.shape[0]
        shape = x.shape if self.wrong == "drops single units" else (rows, *[1] * (x.ndim - 1))
        mask = x.new_empty(shape).bernoulli_(keep)
        if self.wrong == "raises":
            raise KeyError("x")
        if self.wrong == "writes into its input":
            return x.mul_(mask / keep)
        return x * mask if self.wrong == "does not scale" or not self.scale_by_keep else x * mask / keep


@pytest.mark.parametrize(
    "wrong",
    [
        "keeps with the drop probability",
        "scales at inference",
        "ignores the mode",
        "drops single units",
        "draws once a batch",
        "does not scale",
        "writes into its input",
        "raises",
    ],
)
def test_a_copy_that_does_something_else_is_left(wrong: str) -> None:
    model = torch.nn.Sequential(DropPath(0.5, wrong))
    (row,) = thinned.convert(model).left
    assert ("KeyError" if wrong == "raises" else "it does not do what stochastic depth does") in row.reason
    assert type(model[0]) is DropPath
    assert thinned.convert(torch.nn.Sequential(DropPath(0.5))).changed


@pytest.mark.zoo
def test_what_stochastic_depth_cannot_say_is_left() -> None:
    from timm.layers.drop import DropPath as Timms

    class SuperDropPath(DropPath):
        def __init__(self) -> None:
            super().__init__()
            self.gate = torch.nn.Parameter(torch.ones(()))

    model = torch.nn.Sequential(Timms(0.1, scale_by_keep=False), DropPath(None), DropPath(10.0), SuperDropPath())
    report = thinned.convert(model)
    assert not report.changed
    reasons = [row.reason for row in report.left]
    assert reasons[0].startswith("scale_by_keep=False: ")
    assert "`drop_prob` must be a number in [0, 1]. Got None" in reasons[1]
    assert "If 10 % was meant, pass 0.1." in reasons[2]
    assert "has not drop_prob or p alone" in reasons[3]


# What is left.


class Noisier(torch.nn.Dropout):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input + 1)


class Renamed(torch.nn.Dropout):
    """Torch's own by another name."""


def test_classes_with_code_of_their_own_are_left() -> None:
    model = torch.nn.ModuleDict({"own": Noisier(0.1), "renamed": Renamed(0.1)})
    report = thinned.convert(model)
    assert [row.path for row in report.changed] == ["renamed"]
    (row,) = report.left
    assert (row.path, row.p, row.reason) == ("own", 0.1, "a class derived from Dropout, with its own forward")


@pytest.mark.zoo
def test_layers_that_thinned_does_not_have_are_left() -> None:
    from timm.layers.drop import DropBlock2d
    from timm.layers.patch_dropout import PatchDropout
    from torchvision.ops import DropBlock2d as Torchvisions
    from torchvision.ops import DropBlock3d

    model = torch.nn.Sequential(
        DropBlock2d(0.1), Torchvisions(0.1, 3), DropBlock3d(0.1, 3), PatchDropout(0.1), torch.nn.RReLU()
    )
    report = thinned.convert(model)
    assert not report.changed
    assert [row.path for row in report.left] == ["0", "1", "2", "3"]
    assert {(row.reason, row.p) for row in report.left} == {("there is no such layer in thinned", 0.1)}
    attention = torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1)
    assert [row.path for row in thinned.convert(attention).left] == ["self_attn"]


def test_what_was_put_on_an_instance_and_would_be_lost_is_a_reason() -> None:
    names = ("patched", "text", "scaling", "alone", "frozen")
    model: Any = torch.nn.ModuleDict({name: torch.nn.Dropout(0.1) for name in names})
    model["patched"].forward = lambda input: input
    model["text"].p = "a tenth"
    model["scaling"].scaling = 3.0
    model["alone"].compile(backend="eager")
    thinned.freeze(model["frozen"])
    report = thinned.convert(model)
    assert not report.changed
    reasons = {row.path: row.reason for row in report.left}
    assert reasons["patched"].startswith("its forward was replaced on the instance")
    assert "Got 'a tenth'. Pass a number, not text." in reasons["text"]
    assert reasons["scaling"] == "its attribute 'scaling' means something else in Dropout"
    assert reasons["alone"].startswith("its call was replaced on the instance")
    assert reasons["frozen"].startswith("its train was replaced on the instance")


@pytest.mark.parametrize("name", ["freeze", "compile"])
def test_what_was_replaced_on_our_layer_is_not_lost_in_silence(name: str) -> None:
    model: Any = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Dropout(0.1))
    thinned.convert(model)
    frozen = thinned.freeze(model[1]) if name == "freeze" else model[1].compile(backend="eager")
    with pytest.raises(RuntimeError, match=r"Got '1', on which its (train|call) was replaced since"):
        thinned.revert(model)
    assert type(model[0]) is thinned.nn.Dropout  # all or nothing
    if frozen is not None:
        frozen.thaw()
        assert len(thinned.revert(model).changed) == 2
    with pytest.raises(ValueError, match="Got a converted Dropout itself"):
        thinned.revert(_converted())


def test_a_dropout_that_is_disabled_stays_where_it_is() -> None:
    """Its p would be put back on the module that has gone, and the one in its place would have 0 for good."""
    model: Any = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Dropout(0.1)), torch.nn.Dropout(0.2))
    rule = "a dropout must have its own p when another takes its place"
    with thinned.disabled(model, "0.*"):
        for part, name, only in ((model, "0.0", None), (model, "0.0", "0.*"), (model[0], "0", None)):
            with pytest.raises(RuntimeError, match=f"`convert`: {rule}. Got '{name}', which `disabled` holds at 0."):
                thinned.convert(part, only=only)
        assert [type(module) for module in (model[0][0], model[1])] == [torch.nn.Dropout] * 2  # all or nothing
        report = thinned.convert(model, only="1")
    assert [row.path for row in thinned.convert(model).changed] == ["0.0"]
    with thinned.disabled(model, "0.0"):
        report.revert()  # another than those
        with thinned.disabled(model), pytest.raises(RuntimeError, match=f"`revert`: {rule}. Got '0.0', which `disab"):
            thinned.revert(model)
        with pytest.raises(RuntimeError, match="Leave the `with` first"):
            thinned.revert(model)
    assert thinned.rates(model) == {"0.0": 0.1, "1": 0.2}
    assert [row.p for row in thinned.revert(model).changed] == [0.1]


def _converted() -> Module:
    model = torch.nn.Sequential(torch.nn.Dropout(0.1))
    thinned.convert(model)
    return model[0]


def test_modules_that_torch_does_not_see_are_reported() -> None:
    model: Any = Tagger(torch.nn.LSTM(6, 8))
    model.plain = [torch.nn.Sequential(torch.nn.Dropout(0.4))]
    model.again = {"same": model.dropout}
    model.outer = torch.nn.Sequential(torch.nn.Dropout(0.4))
    model.held_too = (model.outer,)  # what is inside is registered, and is reached there
    report = thinned.convert(model, recurrent=False)
    assert [row.path for row in report.changed] == ["dropout", "outer.0"]
    assert [row.path for row in report.left] == ["plain[0].0", "again['same']"]
    assert "sees no submodule" in report.left[0].reason


def test_what_a_list_holder_or_closure_has_is_named_as_everywhere() -> None:
    class Holder:
        def __init__(self) -> None:
            self.drop = torch.nn.Dropout(0.2)

    closed, twin = torch.nn.Dropout(0.3), torch.nn.Dropout(0.4)
    model: Any = torch.nn.Sequential(torch.nn.Linear(2, 2))
    model.deep = {"a": [torch.nn.Dropout(0.1)]}
    model.holder = Holder()
    model.function = lambda x: closed(x)
    model.bound = functools.partial(twin)
    model.back = [model]  # a way back is no place
    names = ["deep['a'][0]", "holder.drop", "function.closed", "bound.func"]
    report = thinned.convert(model)
    assert [(row.path, row.p) for row in report.left] == list(zip(names, [0.1, 0.2, 0.3, 0.4], strict=True))
    assert list(thinned.rates(model)) == names


def test_patterns_choose_and_must_match() -> None:
    model = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(8, 2, 8, batch_first=True, norm_first=True), 2, enable_nested_tensor=False
    )
    report = thinned.convert(model, only=["layers.1.*", "layers.0.dropout"])
    assert [row.path for row in report.changed] == [
        "layers.0.dropout",
        "layers.1.dropout",
        "layers.1.dropout1",
        "layers.1.dropout2",
    ]
    assert [row.path for row in report.left] == ["layers.1.self_attn"]
    with pytest.raises(ValueError, match=r"Got 'layer.1.\*', which matches none. Places: layers.1.dropout, "):
        thinned.convert(model, only=["layers.0.*", "layer.1.*"])
    assert type(model.layers[0].dropout1) is torch.nn.Dropout


def test_a_model_that_cannot_be_changed_in_place_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Got a Dropout2d itself. Use thinned.nn.Dropout2d for it, or"):
        thinned.convert(torch.nn.Dropout2d(0.1))
    with pytest.raises(ValueError, match="Got a LSTM itself"):
        thinned.convert(torch.nn.LSTM(2, 2, 2, dropout=0.1), recurrent=True)
    for function in (thinned.convert, thinned.revert):
        with pytest.raises(TypeError, match=r"must be a torch.nn.Module. Got type"):
            function(torch.nn.Dropout)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="compiled by TorchScript"):
            function(torch.jit.script(torch.nn.Dropout()))
        model = torch.nn.Sequential(thinned.nn.Dropout(0.5), torch.nn.Dropout(0.5))
        model.places = 3  # type: ignore[assignment]
        with (
            pytest.warns(UserWarning, match="some noise is torch's own"),
            thinned.stream(model, 1),
            pytest.raises(RuntimeError, match="Leave the stream first"),
        ):
            function(model)


# Recurrent layers.


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
@pytest.mark.parametrize("settings", [{}, {"bidirectional": True, "bias": False}], ids=["plain", "bidirectional"])
def test_recurrent_layers_are_taken_when_asked(kind: Any, settings: dict[str, Any]) -> None:
    stock = kind(6, 8, num_layers=2, batch_first=True, dropout=0.3, **settings)
    model, input = Tagger(stock), torch.randn(4, 7, 6)
    (row,) = thinned.convert(model, only="rnn").left
    assert "recurrent=True" in row.reason

    result = model.eval()(input)
    (changed,) = thinned.convert(model, only="rnn", recurrent=True).changed
    assert "one mask a sequence" in changed.note
    layer: Any = model.rnn
    assert type(layer) is getattr(thinned.nn, kind.__name__)
    assert all(new is old for new, old in zip(layer.parameters(), stock.parameters(), strict=True))
    assert (layer.dropout, layer.recurrent_dropout) == (0.3, 0.0)
    assert torch.equal(model(input), result)

    # It is the layer that one would have built.
    sizes = (layer.input_size, layer.hidden_size, 2)
    twin = getattr(thinned.nn, kind.__name__)(*sizes, batch_first=True, dropout=0.3, **settings)
    twin.load_state_dict(stock.state_dict())
    noisy = []
    for one in (layer.train(), twin.train()):
        with thinned.stream(one, 3):
            noisy.append(one(input)[0])
    assert torch.equal(*noisy)
    assert not torch.equal(noisy[0], stock.eval()(input)[0])

    # What happens to the parameters while ours is there is there after going back.
    model.double()
    input = input.double()
    result = model.eval()(input)
    thinned.revert(model)
    assert model.rnn is stock
    assert all(weight.dtype == torch.float64 for weight in stock._flat_weights)
    assert all(old is new for old, new in zip(stock._flat_weights, stock.parameters(), strict=True))
    assert torch.equal(model(input), result)


def test_recurrent_layers_that_make_no_noise_or_do_not_own_their_weights_are_left() -> None:
    pruned = torch.nn.LSTM(2, 2, 2, dropout=0.1)
    torch.nn.utils.prune.random_unstructured(pruned, "weight_hh_l0", 0.5)
    normalised = torch.nn.LSTM(2, 2, 2, dropout=0.1)
    torch.nn.utils.parametrizations.weight_norm(normalised, "weight_hh_l0")
    model = torch.nn.ModuleDict({"quiet": torch.nn.GRU(2, 2), "pruned": pruned, "normalised": normalised})
    assert [row.path for row in thinned.convert(model).left] == ["pruned", "normalised"]
    report = thinned.convert(model, recurrent=True)
    assert not report.changed
    assert [row.path for row in report.left] == ["quiet", "pruned", "normalised"]
    assert report.left[0].reason == "dropout=0: it makes no noise"
    assert "convert it before that" in report.left[1].reason


def test_scripted_parts_are_left() -> None:
    scripted = torch.jit.script(torch.nn.Sequential(torch.nn.Dropout(0.1)))
    model = torch.nn.Sequential(scripted, torch.nn.Dropout(0.1))
    report = thinned.convert(model)
    assert [row.path for row in report.changed] == ["1"]
    assert [(row.path, row.reason) for row in report.left] == [
        ("0.0", "compiled by TorchScript: convert the model before that")
    ]


def test_the_report_is_a_table() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(0.001), torch.nn.MultiheadAttention(2, 1, dropout=0.1))
    assert str(thinned.convert(model)).splitlines() == [
        "path  was               is                  p      note",
        "0     torch.nn.Dropout  thinned.nn.Dropout  0.001  p realised as 0.00100708",
        "",
        "Left as they are:",
        "path  is                           p    reason",
        "1     torch.nn.MultiheadAttention  0.1  it draws inside its call of attention; set_rates reaches it",
    ]
