"""Wrong scaling is found by measurement, in every form that people write it, and right scaling is left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from .conftest import Findings, rule

RULE = rule("thn405_wrong_scaling")
P, Q = 0.2, 0.8

TRAINING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "as it is": lambda x, m: x * m,
    "divided by q": lambda x, m: x * m / Q,
    "divided before": lambda x, m: x / Q * m,
    "selected": lambda x, m: torch.where(m.bool(), x / Q, 0.0),
    "filled": lambda x, m: x.masked_fill(m == 0, 0.0),
    "divided by p": lambda x, m: x * m / P,
    "divided by q twice": lambda x, m: x * m / Q / Q,
    "times q": lambda x, m: x * m * Q,
    "times p": lambda x, m: x * m * P,
}
INFERENCE: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x,
    "times q": lambda x: x * Q,
    "times p": lambda x: x * P,
    "divided by q": lambda x: x / Q,
}
MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "rand": lambda x: (torch.rand(x.shape) > P).float(),
    "rand_like": lambda x: torch.rand_like(x) >= P,
    "bernoulli": lambda x: torch.bernoulli(torch.full_like(x, Q)),
    "new_empty": lambda x: x.new_empty(x.shape).bernoulli_(Q),
    "floor": lambda x: torch.rand(x.shape).add_(Q).floor_(),
    "told beside a tensor": lambda x: torch.bernoulli(x, p=Q),
    "repeated": lambda x: torch.bernoulli(x[0], Q).unsqueeze(0).repeat(len(x), 1) == 1,
    "expanded": lambda x: (torch.rand(x.shape[0], 1) > P).expand_as(x).type_as(x),
    "rows": lambda x: (torch.rand(x.shape[0], 1) > P).float(),
    "torch's": lambda x: (torch.nn.functional.dropout(torch.ones_like(x), P) > 0).float(),
}


class Module(nn.Module):
    """A mask in a module of its own."""

    def __init__(self, training: str, inference: str, mask: str = "rand_like") -> None:
        super().__init__()
        self.rules = TRAINING[training], INFERENCE[inference], MASKS[mask]

    def forward(self, x: Tensor) -> Tensor:
        training, inference, mask = self.rules
        return training(x, mask(x)) if self.training else inference(x)


class Inline(nn.Module):
    """A mask in a forward that does much else, between other noise and layers that are not linear."""

    def __init__(self, training: str, inference: str, *, on_the_weight: bool = False) -> None:
        super().__init__()
        self.rules = TRAINING[training], INFERENCE[inference]
        self.before, self.norm, self.after = nn.Linear(16, 64), nn.BatchNorm1d(64), nn.Linear(64, 4)
        self.dropout, self.on_the_weight = nn.Dropout(0.3), on_the_weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout(self.norm(self.before(x)).relu())
        h = self.rules[0](h, torch.rand_like(h) > P) if self.training else self.rules[1](h)
        if self.on_the_weight and not self.training:
            h = nn.functional.linear(h, self.after.weight * Q, self.after.bias)
            return h.sigmoid()
        out: Tensor = self.after(h)
        return out.sigmoid()


BUGS = [
    ("as it is", "as it is", 0.8, "scaling forgotten"),
    ("filled", "as it is", 0.8, "scaling forgotten"),
    ("as it is", "times p", 4.0, "multiplies by the drop probability"),
    ("divided by p", "as it is", 4.0, "keep and drop probability mixed up"),
    ("divided by q", "times q", 1.25, "scaled twice"),
    ("divided before", "times q", 1.25, "scaled twice"),
    ("divided by q twice", "as it is", 1.25, "scaled twice"),
    ("times q", "as it is", 0.64, "the wrong way round"),
    ("as it is", "divided by q", 0.64, "the wrong way round"),
    ("times p", "as it is", 0.16, "mixed up, the wrong way round"),
]
RIGHT = [
    ("divided by q", "as it is"),
    ("divided before", "as it is"),
    ("selected", "as it is"),
    ("as it is", "times q"),
]


def factor(message: str) -> float:
    return float(message.split("in training is ")[1].split(" times")[0])


@pytest.mark.parametrize("form", [Module, Inline])
@pytest.mark.parametrize(("training", "inference", "expected", "cause"), BUGS)
def test_each_bug_is_found_and_named(
    findings: Findings,
    form: Callable[[str, str], nn.Module],
    training: str,
    inference: str,
    expected: float,
    cause: str,
) -> None:
    layers = (nn.Linear(16, 64), form(training, inference), nn.Linear(64, 4))
    model = nn.Sequential(*layers) if form is Module else form(training, inference)
    (finding,) = findings(model, torch.randn(8, 16))
    assert cause in finding.message
    # 512 units a run, at least 24 runs: 6 standard errors of the mean of a mask are below 3 % of it.
    assert factor(finding.message) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("form", [Module, Inline])
@pytest.mark.parametrize(("training", "inference"), RIGHT)
def test_right_scaling_is_left_alone(
    findings: Findings, form: Callable[[str, str], nn.Module], training: str, inference: str
) -> None:
    model = nn.Sequential(nn.Linear(16, 64), form(training, inference)) if form is Module else form(training, inference)
    assert findings(model, torch.randn(8, 16)) == []


@pytest.mark.parametrize("mask", MASKS)
def test_whatever_the_mask_is_made_of(findings: Findings, mask: str) -> None:
    (finding,) = findings(nn.Sequential(nn.Linear(16, 64), Module("as it is", "as it is", mask)), torch.randn(8, 16))
    assert "scaling forgotten" in finding.message
    right = nn.Sequential(nn.Linear(16, 64), Module("divided by q", "as it is", mask))
    assert findings(right, torch.randn(8, 16)) == []


def test_classic_scaling_of_the_next_weights_is_right(findings: Findings) -> None:
    assert findings(Inline("as it is", "as it is", on_the_weight=True), torch.randn(8, 16)) == []


def test_torch_s_dropout_scaled_again_by_hand(findings: Findings) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.layer = nn.Dropout(P), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = self.dropout(x)
            out: Tensor = self.layer(h if self.training else h * Q)
            return out

    (finding,) = findings(Twice(), torch.randn(8, 16))
    assert "scaled twice" in finding.message
    assert finding.place == "dropout"


def test_dropped_weights(findings: Findings) -> None:
    class DropConnect(nn.Linear):
        scale = 1.0

        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight
            if self.training:
                weight = weight * (torch.rand_like(weight) > P) * self.scale
            return nn.functional.linear(x, weight, self.bias)

    (finding,) = findings(nn.Sequential(DropConnect(16, 64), nn.ReLU()), torch.randn(8, 16))
    assert "scaling forgotten" in finding.message
    DropConnect.scale = 1 / Q
    assert findings(nn.Sequential(DropConnect(16, 64), nn.ReLU()), torch.randn(8, 16)) == []


def test_noise_that_is_no_mask_is_left_alone(findings: Findings) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                return x
            x = x + 0.1 * torch.randn_like(x)  # adds
            x = x * (1 + 0.5 * torch.randn_like(x))  # Gaussian dropout
            kept = torch.rand_like(x) > P  # alpha dropout by hand
            x = 0.8789 * torch.where(kept, x, -1.7581) + 0.3090
            return x * (torch.rand(len(x), x.shape[1], 1) > P)  # whole positions of a sequence

    layers = nn.AlphaDropout(0.2), nn.FeatureAlphaDropout(0.2), Noisy(), nn.Linear(16, 4)
    assert findings(nn.Sequential(nn.Linear(16, 16), *layers), torch.randn(4, 6, 16)) == []


def test_the_model_is_as_it_was(findings: Findings) -> None:
    model = Inline("divided by q", "times q").eval()
    model.dropout.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(7)
    assert findings(model, torch.randn(8, 16, generator=torch.Generator().manual_seed(1)))
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))
    assert (model.training, model.dropout.training) == (False, True)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_branches_that_call_the_same_layers(findings: Findings) -> None:
    class Branches(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.first, self.last, self.scale = nn.Linear(16, 64), nn.Linear(64, 4), scale

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x).relu()
            out: Tensor
            if self.training:
                mask = torch.rand_like(h) > P
                out = self.last(h * mask * self.scale)
            else:
                out = self.last(h)
            return out

    (finding,) = findings(Branches(1.0), torch.randn(8, 16))
    assert "scaling forgotten" in finding.message
    assert findings(Branches(1 / Q), torch.randn(8, 16)) == []


class AlwaysOn(nn.Module):
    """A mask that follows no mode, and scales by a factor."""

    def __init__(self, p: float, scaled: Callable[[Tensor, Tensor, float], Tensor]) -> None:
        super().__init__()
        self.p, self.scaled = p, scaled

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x, torch.rand_like(x) > self.p, self.p)


def consistent(x: Tensor, p: float) -> Tensor:
    """SpeechT5's: it keeps with probability p."""
    mask = torch.bernoulli(x[0], p=p)
    masks = mask.unsqueeze(0).repeat(x.size(0), 1, 1)
    return torch.where(masks == 1, x, 0) * 1 / (1 - p)


ALWAYS: dict[str, tuple[Callable[[Tensor, Tensor, float], Tensor], str | None]] = {
    "SpeechT5": (lambda x, _, p: consistent(x, p), "keep and drop probability mixed up"),
    "divided by p": (lambda x, m, p: x * m / p, "keep and drop probability mixed up"),
    "mask divided by p": (lambda x, m, p: x * (m.float() / p), "keep and drop probability mixed up"),
    "divided twice": (lambda x, m, p: (x * m).div(1 - p) * (1 / (1 - p)), "scaled twice"),
    "right": (lambda x, m, p: x * m / (1 - p), None),
    "mask right": (lambda x, m, p: m.float().div_(1 - p) * x, None),
    "right, and scaled by something else": (lambda x, m, p: x * m / (1 - p) * 0.125, None),
    "not scaled": (lambda x, m, p: x * m, None),
    "by what was kept": (lambda x, m, p: x * m * m.numel() / m.sum(), None),
}


@pytest.mark.parametrize("way", ALWAYS)
@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.8])
def test_a_mask_that_is_always_on(findings: Findings, way: str, p: float) -> None:
    scaled, cause = ALWAYS[way]
    if p == 0.5 and cause is not None and "mixed" in cause:
        cause = None  # where p and 1 - p are the same
    model = nn.Sequential(nn.Linear(8, 16), AlwaysOn(p, scaled), nn.Linear(16, 2))
    found = findings(model, torch.randn(4, 40, 8))
    assert [finding.place for finding in found] == (
        [] if cause is None else [f"1:{'bernoulli' if way == 'SpeechT5' else 'rand_like'}"]
    )
    if cause is not None:
        assert cause in found[0].message
        mean = 1 / (1 - p) if "twice" in cause else p / (1 - p) if way == "SpeechT5" else (1 - p) / p
        assert f"the mean is {mean:.3g} times the input's, in both modes" in found[0].message


def test_an_always_on_mask_in_a_loop_is_found_once(findings: Findings) -> None:
    mask = AlwaysOn(0.3, ALWAYS["divided by p"][0])
    (finding,) = findings(nn.Sequential(nn.Linear(8, 16), mask, nn.ReLU(), mask, nn.ReLU()), torch.randn(40, 8))
    assert finding.place == "1:rand_like"


def test_too_few_units_to_tell_what_an_always_on_mask_drops(findings: Findings) -> None:
    model = nn.Sequential(nn.Linear(8, 2), AlwaysOn(0.3, ALWAYS["divided by p"][0]), nn.Linear(2, 2))
    assert findings(model, torch.randn(1, 8)) == []


def test_the_place_is_that_of_the_mask_and_not_of_a_dropout_before(findings: Findings) -> None:
    (finding,) = findings(Inline("as it is", "as it is"), torch.randn(8, 16))
    assert finding.place == ":rand_like"
