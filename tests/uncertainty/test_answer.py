"""What a model's answer means: the axis of the classes, probabilities or logits, several labels, which tensor it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from tests.run import Run
from torch import Tensor, nn

import thinned
from thinned.uncertainty.scores import class_scores, reliability, risk_coverage

X = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))


def body(outputs: int = 3) -> list[nn.Module]:
    torch.manual_seed(3)
    return [nn.Linear(6, 32), nn.Tanh(), nn.Dropout(0.5), nn.Linear(32, outputs)]


def tokens() -> tuple[nn.Module, Tensor]:
    """Plain answers `(B, T, C)` with as many steps as classes: no shape tells them apart."""
    return nn.Sequential(*body(4)), torch.randn(5, 4, 6)


def segments() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.5), nn.Conv2d(8, 4, 1))
    return net, torch.randn(2, 3, 6, 5)


@pytest.mark.parametrize(("made", "axis"), [(tokens, -1), (tokens, 2), (segments, 1), (segments, -3)])
def test_the_classes_are_where_it_is_said(made: Callable[[], tuple[nn.Module, Tensor]], axis: int) -> None:
    """Every figure is that of the answer with the classes moved to axis 1, flattened to rows."""
    net, x = made()
    found = thinned.predict(net, x, 6, task="classification", class_axis=axis, samples=True)
    assert found.class_axis == axis % x.ndim
    assert found.samples is not None
    raw = thinned.predict(net, x, 6, samples=True).samples
    assert raw is not None
    samples = raw.movedim(found.class_axis + 1, -1).softmax(-1)
    mean = samples.mean(0)
    torch.testing.assert_close(found.probability.movedim(found.class_axis, -1), mean)
    assert torch.equal(found.label, mean.argmax(-1))
    torch.testing.assert_close(found.max_probability, mean.amax(-1))
    entropy = torch.special.entr(mean).sum(-1)
    torch.testing.assert_close(found.entropy, entropy)
    torch.testing.assert_close(found.mutual_information, entropy - torch.special.entr(samples).sum(-1).mean(0))
    votes = torch.stack([(samples.argmax(-1) == label).sum(0) for label in range(4)], -1)
    torch.testing.assert_close(found.variation_ratio, 1 - votes.amax(-1) / 6)

    target = torch.randint(4, found.label.shape)
    ignored = target.clone()
    ignored[0] = -100
    for here, there in ((target, slice(0, None)), (ignored, slice(1, None))):
        one, other = class_scores(found, here), class_scores(mean[there].flatten(0, -2), target[there].flatten())
        assert asdict(one) == pytest.approx(asdict(other), rel=1e-5, nan_ok=True)
    assert reliability(found, ignored).rows.sum() == target[1:].numel()
    assert len(risk_coverage(found, ignored)[0]) == target[1:].numel()

    geometric = thinned.geometric_mean(net, x, 6, class_axis=axis)
    torch.testing.assert_close(
        geometric.movedim(found.class_axis, -1), raw.mean(0).movedim(found.class_axis, -1).softmax(-1)
    )
    fit = thinned.calibrate(net, (x, ignored), n=6, class_axis=axis)
    nll = -(samples.mean(0)[1:].flatten(0, -2)).gather(1, target[1:].flatten()[:, None]).log().mean()
    assert fit.nll_before == pytest.approx(float(nll), rel=1e-5)
    assert fit.nll <= fit.nll_before
    assert fit.predict(x).class_axis == found.class_axis  # the fit remembers


@pytest.mark.parametrize("made", [tokens, segments])
def test_an_ambiguous_shape_is_refused_with_the_shape(made: Callable[[], tuple[nn.Module, Tensor]]) -> None:
    net, x = made()
    shape = str(tuple(net(x).shape[1:])).strip("()")
    for call in (
        lambda: thinned.predict(net, x, 2, task="classification"),
        lambda: thinned.Predictor(net, 2, task="classification")(x),
        lambda: thinned.geometric_mean(net, x, 2),
        lambda: thinned.calibrate(net, (x, torch.zeros(len(x)).long()), n=2),
    ):
        with pytest.raises(ValueError, match=rf"`class_axis` must say .*{shape}\).*Pass class_axis=1 .*class_axis=-1"):
            call()
    for axis in (0, 7, -7):
        with pytest.raises(ValueError, match=r"`class_axis` must be an axis of the answer after the rows"):
            thinned.predict(net, x, 2, task="classification", class_axis=axis)
    with pytest.raises(ValueError, match=r"`class_axis` is of classes"):
        thinned.predict(net, x, 2, class_axis=1)
    with pytest.raises(TypeError, match=r"`class_axis` must be an integer"):
        thinned.predict(net, x, 2, task="classification", class_axis="last")  # type: ignore[arg-type]
    square = torch.rand(3, 4, 4).softmax(1)
    with pytest.raises(ValueError, match=r"class_axis=1 or class_axis=-1"):
        class_scores(square, torch.zeros(3, 4).long())
    assert class_scores(square, torch.zeros(3, 4).long(), class_axis=1).rows == 12


@pytest.mark.zoo
@pytest.mark.filterwarnings("ignore")  # what the library warns of is not ours
def test_what_hugging_face_calls_logits() -> None:
    from transformers.models.bert import BertConfig, BertForTokenClassification
    from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel
    from transformers.models.segformer import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    ids = torch.randint(30, (4, 7))
    small: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    bert = BertConfig(**{**small, "vocab_size": 30, "max_position_embeddings": 16, "num_labels": 3})
    gpt = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=30, n_positions=16, bos_token_id=0, eos_token_id=0)
    tagger: Any = BertForTokenClassification(bert)
    writer: Any = GPT2LMHeadModel(gpt)
    for model, classes in ((tagger, 3), (writer, 30)):
        for x in (ids, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}):
            found = thinned.predict(model, x, 4, task="classification")
            assert found.label.shape == (4, 7)
            assert found.probability.shape == (4, 7, classes)
            torch.testing.assert_close(found.probability.sum(-1), torch.ones(4, 7))
    # A label for each token; special tokens and padding have -100. For a language model it is the next token.
    labels = torch.randint(3, (4, 7))
    labels[:, 0] = -100
    assert class_scores(thinned.predict(tagger, ids, 4, task="classification"), labels).rows == 24
    assert thinned.calibrate(tagger, (ids, labels), n=4).predict(ids).label.shape == (4, 7)
    following = torch.cat((ids[:, 1:], torch.full((4, 1), -100)), 1)
    assert class_scores(thinned.predict(writer, ids, 4, task="classification"), following).rows == 24
    assert thinned.geometric_mean(writer, ids, 4).shape == (4, 7, 30)

    sizes: dict[str, Any] = {
        "depths": [1] * 4,
        "hidden_sizes": [8] * 4,
        "num_attention_heads": [1] * 4,
        "decoder_hidden_size": 8,
    }
    segmenters: list[Any] = [
        SegformerForSemanticSegmentation(SegformerConfig(**{**sizes, "num_labels": labels})) for labels in (5, 8)
    ]
    images = torch.randn(2, 3, 32, 32)
    assert thinned.predict(segmenters[0], images, 2, task="classification").label.shape == (2, 8, 8)
    with pytest.raises(ValueError, match=r"Got none for the shape \(2, 8, 8, 8\)"):  # as many classes as columns
        thinned.predict(segmenters[1], images, 2, task="classification")


ENDS: dict[str, tuple[nn.Module, int, str]] = {
    "softmax": (nn.Softmax(1), 3, "classification"),
    "softmax written out": (Run(lambda m, x: x.exp() / x.exp().sum(1, keepdim=True)), 3, "classification"),
    "softmax and dropout": (nn.Sequential(nn.Softmax(1), nn.Dropout(0.1)), 3, "classification"),
    "one sigmoid": (nn.Sigmoid(), 1, "classification"),
    "one sigmoid, flat": (nn.Sequential(nn.Sigmoid(), nn.Flatten(0)), 1, "classification"),
    "sigmoids": (nn.Sigmoid(), 3, "multilabel"),
    "sigmoids in a view": (Run(lambda m, x: torch.sigmoid(x).reshape(-1, 3, 1).squeeze(-1)), 3, "multilabel"),
}


@pytest.mark.parametrize("end", ENDS)
def test_probabilities_are_not_taken_for_logits(end: str) -> None:
    last, outputs, task = ENDS[end]
    net = nn.Sequential(*body(outputs), last)
    for call in (
        lambda: thinned.predict(net, X, 8, task=task),
        lambda: thinned.predict(net, X[:1], 2, task=task),
        lambda: thinned.calibrate(
            net, (X, torch.zeros(9, *(() if task == "classification" else (3,)))), n=8, task=task
        ),
    ):
        with pytest.raises(ValueError, match=r"takes logits by default.*Pass output='probabilities'"):
            call()


@pytest.mark.parametrize(
    ("outputs", "end", "whole"),
    [
        (3, lambda z: 100.0 * z.softmax(1), "100"),
        (2, lambda z: 100.0 * z.softmax(1), "100"),
        (3, lambda z: (100.0 * z.softmax(1)).bfloat16(), "100"),
        (3, lambda z: 7.5 * z.softmax(1), "7.5"),
        (3, lambda z: z.exp() / z.exp().mean(1, keepdim=True), "3"),
        (4, lambda z: nn.functional.dropout(255.0 * z.softmax(1), 0.2, z.requires_grad), "255"),
    ],
)
def test_multiples_of_probabilities_are_not_taken_for_logits(
    outputs: int, end: Callable[[Tensor], Tensor], whole: str
) -> None:
    inner = body(outputs)
    net, target = nn.Sequential(*inner, Run(lambda _, z: end(z))), torch.arange(9) % 2
    calls: list[Callable[..., Any]] = [
        lambda **options: thinned.predict(net, X, 8, task="classification", **options).mean,
        lambda **options: thinned.calibrate(net, (X, target), n=8, task="classification", **options).predict(X).mean,
        lambda **options: thinned.geometric_mean(net, X, 8, **options),
    ]
    divided = {"select": lambda answer: answer / answer.sum(1, keepdim=True), "output": "probabilities"}
    for call in calls:
        step = r"Pass select=lambda answer: answer / answer\.sum\(1, keepdim=True\)"
        with pytest.raises(ValueError, match=rf"all sum to {whole}[\d.]*,.* {step} and output='probabilities'"):
            call()
        with pytest.raises(ValueError, match=rf"sum to 1 over the classes\. Got .* {step}\."):
            call(output="probabilities")
        assert call(output="logits").shape == call(**divided).shape == (9, outputs)
    with pytest.raises(ValueError, match=rf"takes a logit for each label.*all sum to {whole}"):
        thinned.predict(net, X, 8, task="multilabel")


def test_pixels_of_percentages_are_refused_along_their_axis() -> None:
    net, x = segments()
    for axis, last in ((1, nn.Softmax(1)), (-1, nn.Softmax(-1))):
        percentages = nn.Sequential(net, last, Run(lambda _, z: 100 * z))
        with pytest.raises(ValueError, match=rf"all sum to 100,.*answer\.sum\({axis % 4}, keepdim=True\)"):
            thinned.predict(percentages, x, 4, task="classification", class_axis=axis)


@pytest.mark.parametrize(
    ("end", "rows"),
    [
        (Run(lambda m, z: (5.0 * z).relu()), 9),
        (Run(lambda m, z: nn.functional.relu6(9.0 * z)), 9),
        (nn.Softplus(), 9),
        (Run(lambda m, z: z.exp()), 9),
        (Run(lambda m, z: torch.ones_like(z) * 3), 9),  # rows that are all alike
        (Run(lambda m, z: torch.zeros_like(z)), 9),
        (Run(lambda m, z: 10.0 * nn.functional.one_hot(z.argmax(1), 3)), 9),  # a table of labels
        (Run(lambda m, z: 0.01 * z + 5.0), 9),  # hardly trained, and none negative
        (Run(lambda m, z: (0.01 * z + 5.0).bfloat16()), 9),
        (Run(lambda m, z: 7.0 * z.softmax(1)), 1),  # a chance, for all that one row tells
        (Run(lambda m, z: z - z.mean(1, keepdim=True)), 9),
    ],
)
def test_logits_that_are_not_negative_are_logits(end: nn.Module, rows: int) -> None:
    net = nn.Sequential(*body(), end)
    for task in ("classification", "multilabel"):
        assert thinned.predict(net, X[:rows], 4, task=task).mean.shape == (rows, 3)


@pytest.mark.parametrize("end", [end for end in ENDS if "dropout" not in end])
def test_said_to_be_probabilities_they_are_taken_as_they_are(end: str) -> None:
    """Everything is as with the logits, whose network is the same one without its end."""
    last, outputs, task = ENDS[end]
    inner = body(outputs)
    bare, net = nn.Sequential(*inner), nn.Sequential(*inner, last)
    target = torch.arange(9) % 2 if task == "classification" else torch.arange(27).reshape(9, 3) % 2
    for temperature in (1.0, 2.0):
        of_logits = thinned.predict(bare, X, 8, task=task, temperature=temperature)
        found = thinned.predict(net, X, 8, task=task, output="probabilities", temperature=temperature)
        for name in ("mean", "std", "entropy", "mutual_information", "label", "variation_ratio"):
            torch.testing.assert_close(getattr(found, name), getattr(of_logits, name), rtol=1e-4, atol=1e-5)
    before = thinned.calibrate(bare, (X, target), n=8, task=task)
    fit = thinned.calibrate(net, (X, target), n=8, task=task, output="probabilities")
    assert fit.temperature == pytest.approx(before.temperature, rel=1e-3)
    assert fit.nll == pytest.approx(before.nll, rel=1e-4)
    torch.testing.assert_close(fit.predict(X).mean, before.predict(X).mean, rtol=1e-3, atol=1e-4)
    assert class_scores(found, target).rows == target.numel()
    if task == "classification":
        geometric = thinned.geometric_mean(net, X, 8, output="probabilities")
        torch.testing.assert_close(geometric, thinned.geometric_mean(bare, X, 8), rtol=1e-4, atol=1e-5)


def test_a_temperature_divides_logits_and_is_not_fitted_twice() -> None:
    net = nn.Sequential(*body())
    raw = thinned.predict(net, X, 8, samples=True).samples
    assert raw is not None
    found = thinned.geometric_mean(net, X, 8, temperature=2.0)
    torch.testing.assert_close(found, (raw / 2).mean(0).softmax(1))
    with pytest.raises(TypeError, match="`temperature` is fitted"):
        thinned.calibrate(net, (X, torch.zeros(9).long()), n=2, temperature=2.0)


def test_logarithms_of_probabilities_are_logits() -> None:
    inner = body()
    for temperature in (1.0, 3.0):
        plain, logs = (
            thinned.predict(net, X, 8, task="classification", temperature=temperature).mean
            for net in (nn.Sequential(*inner), nn.Sequential(*inner, nn.LogSoftmax(1)))
        )
        torch.testing.assert_close(logs, plain)
    one = nn.Sequential(*body(1), nn.LogSigmoid())
    with pytest.raises(ValueError, match=r"logarithms of a sigmoid.*answer\.exp\(\) and output='probabilities'"):
        thinned.predict(one, X, 8, task="classification")
    found = thinned.predict(
        one, X, 8, task="classification", select=lambda answer: answer.exp(), output="probabilities"
    )
    torch.testing.assert_close(found.mean, thinned.predict(one[:-1], X, 8, task="classification").mean)


def test_what_is_no_probability_is_refused_as_one() -> None:
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: thinned.predict(nn.Sequential(*body()), X, 4, task="classification", output="probabilities"), "sums"),
        (
            lambda: thinned.predict(
                nn.Sequential(*body(), nn.Sigmoid()), X, 4, task="classification", output="probabilities"
            ),
            "sum to 1 over the classes",
        ),
        (
            lambda: thinned.predict(nn.Sequential(*body(1)), X, 4, task="classification", output="probabilities"),
            r"must be in \[0, 1\]",
        ),
        (
            lambda: thinned.predict(nn.Sequential(*body()), X, 4, task="multilabel", output="probabilities"),
            r"must be in \[0, 1\]",
        ),
        (lambda: thinned.predict(nn.Sequential(*body()), X, 4, output="probabilities"), "for task='regression'"),
        (lambda: thinned.predict(nn.Sequential(*body()), X, 4, output="probs"), "one of 'logits', 'probabilities'"),
        (
            lambda: thinned.predict(nn.Sequential(*body(), nn.Softmax(1)), X, 4, task="multilabel"),
            "a softmax chooses one class. Pass task='classification' and output='probabilities'",
        ),
        (lambda: class_scores(nn.Sequential(*body())(X), torch.zeros(9).long()), r"Pass logits.softmax\(1\)"),
        (
            lambda: class_scores(100 * X.softmax(1), torch.zeros(9).long()),
            r"sums of 100\. Pass the tensor / its sum\(1,",
        ),
    ]
    for call, said in calls:
        with pytest.raises(ValueError, match=said):
            call()


def test_logits_that_happen_to_lie_between_0_and_1() -> None:
    inner = body(1)
    net = nn.Sequential(*inner, nn.Sigmoid())  # as logits, if that is what they are
    found = thinned.predict(net, X, 8, task="classification", output="logits", samples=True)
    raw = thinned.predict(net, X, 8, samples=True).samples
    assert found.samples is not None
    assert raw is not None
    torch.testing.assert_close(found.samples[..., 1:], raw.sigmoid())
    narrow = nn.Sequential(nn.Dropout(0.5), Run(lambda m, x: 0.3 + 0.1 * x.tanh()[:, :1]))
    assert thinned.predict(narrow, X.abs(), 8, task="classification").mean.shape == (9, 2)


def test_several_labels() -> None:
    net = nn.Sequential(*body(4))
    found = thinned.predict(net, X, 16, task="multilabel", samples=True)
    raw = thinned.predict(net, X, 16, samples=True).samples
    assert found.samples is not None
    assert raw is not None
    p = raw.sigmoid()
    torch.testing.assert_close(found.samples, p)
    mean = p.mean(0)
    both = torch.stack((1 - mean, mean))
    torch.testing.assert_close(found.probability, mean)
    assert torch.equal(found.label, (mean > 0.5).long())
    torch.testing.assert_close(found.max_probability, both.amax(0))
    torch.testing.assert_close(found.entropy, torch.special.entr(both).sum(0))
    mixed = torch.special.entr(torch.stack((1 - p, p))).sum(0).mean(0)
    torch.testing.assert_close(found.mutual_information, found.entropy - mixed)
    on = (p > 0.5).sum(0)
    torch.testing.assert_close(found.variation_ratio, torch.minimum(on, 16 - on) / 16)
    assert {"label_0", "max_probability_3", "entropy_1"} <= set(found.to_pandas().columns)

    target = (torch.arange(36).reshape(9, 4) * 7 % 5 < 2).long()
    scores = class_scores(found, target)
    assert scores.rows == 36
    assert scores.accuracy == pytest.approx(float((found.label == target).double().mean()))
    nll = nn.functional.binary_cross_entropy(mean, target.float())
    assert scores.nll == pytest.approx(float(nll), rel=1e-5)
    assert class_scores(mean, target) == scores
    target[0, 0] = -100
    assert class_scores(found, target).rows == 35
    fit = thinned.calibrate(net, (X, target), n=16, task="multilabel")
    used = target != -100
    before = nn.functional.binary_cross_entropy(mean[used], target[used].float())
    assert fit.nll_before == pytest.approx(float(before), rel=1e-5)
    assert fit.nll < fit.nll_before
    assert fit.predict(X).task == "multilabel"
    with pytest.raises(ValueError, match=r"targets must be 0 or 1 for each label\. Got the shape \(9,\)"):
        thinned.calibrate(net, (X, target[:, 0]), n=4, task="multilabel")
    with pytest.raises(ValueError, match=r"`target` must have 0 or 1 for each label"):
        class_scores(found, target[:, 0])


class Pair(NamedTuple):
    scale: Tensor
    value: Tensor


def answers(kind: str) -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        value, scale = m.last(m.drop(x)), torch.ones(1)
        loss = value.square().mean()
        found: dict[str, Callable[[], Any]] = {
            "dict": lambda: {"scale": scale, "value": value},
            "named tuple": lambda: Pair(scale, value),
            "alone": lambda: {"loss": loss, "value": value},
            "logits": lambda: {"scale": scale, "logits": value},
            "tuple": lambda: (value, scale),
            "loss first": lambda: (loss, value),
        }
        return found[kind]()

    return Run(forward, drop=nn.Dropout(0.5), last=nn.Linear(6, 3))


@pytest.mark.parametrize("kind", ["dict", "named tuple", "loss first"])
def test_which_tensor_is_the_prediction_must_be_said(kind: str) -> None:
    net = answers(kind)
    names = r"'scale' \(1,\), 'value' \(\d, 3\)\. Pass select='value'" if kind != "loss first" else "Pass select=1"
    for call in (thinned.predict, thinned.weight_scaling):
        with pytest.raises(ValueError, match=rf"which tensor of the answer is the prediction must be said.*{names}"):
            call(net, X)
    for select in (1, lambda answer: answer[1] if isinstance(answer, tuple) else answer["value"]):
        assert thinned.predict(net, X, 4, select=select).mean.shape == (9, 3)
    if kind != "loss first":
        found = thinned.predict(net, X, 4, task="classification", select="value")
        assert found.probability.shape == (9, 3)
        assert thinned.weight_scaling(net, X, select="value").shape == (9, 3)
        assert thinned.geometric_mean(net, X, 4, select="value").shape == (9, 3)
        with pytest.raises(ValueError, match=r"Got 'values' for a \w+ of 'scale', 'value'"):
            thinned.predict(net, X, 4, select="values")


@pytest.mark.parametrize("kind", ["alone", "logits", "tuple"])
def test_which_tensor_is_meant_is_plain(kind: str) -> None:
    assert thinned.predict(answers(kind), X, 4).mean.shape == (9, 3)


def test_a_function_takes_the_tensor_once() -> None:
    net = answers("dict")
    by_output = thinned.predict(net, X, 4, output=lambda answer: answer["value"])
    assert torch.equal(by_output.mean, thinned.predict(net, X, 4, select="value").mean)
    with pytest.raises(ValueError, match="takes the tensor from the answer once"):
        thinned.predict(net, X, 4, output=lambda answer: answer["value"], select="value")


def test_batches_padded_to_other_lengths_have_answers_of_other_shapes() -> None:
    net, loader = nn.Sequential(*body(4)), [torch.randn(2, 3, 6), torch.randn(2, 5, 6)]
    data: Any = torch.utils.data.DataLoader(loader, batch_size=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"answers of one shape\. Got \(3, 4\) and \(5, 4\)\. Pad all batches"):
        thinned.predict(net, data, 2, inputs=lambda batch: batch)


@pytest.mark.parametrize("kind", ["labels", "truth values"])
def test_labels_are_no_logits(kind: str) -> None:
    model = Ends(lambda y: y.argmax(-1) if kind == "labels" else y > 0)
    for task in ("classification", "multilabel"):
        with pytest.raises(ValueError, match=rf"task='{task}' takes logits or probabilities\. Got torch\.(int64|bool)"):
            thinned.predict(model, torch.ones(3, 4), n=2, task=task)


@pytest.mark.parametrize("end", [torch.sigmoid, nn.Sigmoid(), nn.functional.hardsigmoid])
def test_a_sigmoid_for_each_class_is_no_softmax_s_logits(end: Callable[[Tensor], Tensor]) -> None:
    model, x = Ends(end), torch.ones(3, 4)
    with pytest.raises(ValueError, match=r"Got the results of a sigmoid.* Pass task='multilabel' and output='prob"):
        thinned.predict(model, x, n=2, task="classification")
    assert thinned.predict(model, x, n=2, task="multilabel", output="probabilities").mean.shape == (3, 5)
    assert thinned.predict(model, x, n=2, task="classification", output="logits").mean.shape == (3, 5)


def test_a_configuration_that_says_several_labels() -> None:
    model = Ends(lambda y: y)
    model.config = SimpleNamespace(problem_type="multi_label_classification")
    with pytest.raises(ValueError, match="configuration says problem_type='multi_label_classification'"):
        thinned.predict(model, torch.ones(3, 4), n=2, task="classification")
    assert thinned.predict(model, torch.ones(3, 4), n=2, task="multilabel").mean.shape == (3, 5)


class Ends(nn.Module):
    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.drop, self.end = nn.Linear(4, 5), nn.Dropout(0.5), end
        self.config: Any = None

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.drop(self.linear(x)))
