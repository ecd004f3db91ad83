"""The public functions of `thinned` on Keras models, functional, sequential and subclassed, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers

import thinned
import thinned.interop.keras as tk

numbers = keras.ops.convert_to_numpy
X = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="model")
        self.dense, self.norm = layers.Dense(16, name="dense"), layers.BatchNormalization(name="norm")
        self.drop = layers.Dropout(0.5, name="drop")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.drop(self.norm(self.dense(x), training=training), training=training)


def sequential() -> Any:
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(16), layers.BatchNormalization(), layers.Dropout(0.5, name="drop")]
    )


def functional() -> Any:
    inputs = keras.Input((8,))
    x = layers.BatchNormalization()(layers.Dense(16)(inputs))
    return keras.Model(inputs, tk.Dropout(0.5, name="drop")(x))


KINDS = pytest.mark.parametrize("build", [Subclassed, sequential, functional])


def of_many_kinds() -> Any:
    """Recurrent layers, attention, a model in the model, weights that are dropped, and noise of other kinds."""
    inputs = keras.Input((3, 8))
    x = layers.LSTM(4, dropout=0.2, return_sequences=True, name="lstm")(inputs)
    x = layers.MultiHeadAttention(2, 4, dropout=0.1, name="attention")(x, x)
    x = keras.Sequential([layers.Dense(3), tk.SpatialDropout1D(0.3, name="channels")], name="inner")(x)
    x = layers.GaussianNoise(0.5, name="noise")(x)
    cells = [layers.SimpleRNNCell(3, recurrent_dropout=0.2, name="cell"), layers.SimpleRNNCell(2, name="last")]
    x = layers.RNN(layers.StackedRNNCells(cells, name="cells"), name="rnn")(x)
    return keras.Model(inputs, tk.DropConnect(layers.Dense(2), 0.1, name="weights")(x))


def kept(model: Any) -> list[Any]:
    return [numbers(variable).copy() for variable in model.variables]


def same(model: Any, before: list[Any]) -> bool:
    return all((numbers(variable) == value).all() for variable, value in zip(model.variables, before, strict=True))


@KINDS
def test_inspect(build: Callable[[], Any]) -> None:
    """The place, its rate and mode; statistics, seeds and torch's generator are what they were."""
    model = build()
    model(X)
    before, random = kept(model), torch.get_rng_state()
    found = thinned.inspect(model, X)
    assert [(place.name, place.p, place.active, place.shape) for place in found.places] == [
        ("drop", 0.5, "train", (32, 16))
    ]
    measured = found["drop"].measured
    assert measured is not None
    assert abs(measured - 0.5) < 6 * (0.25 / 512) ** 0.5  # six deviations of 512 units
    assert same(model, before)
    assert (torch.get_rng_state() == random).all()
    assert "1 places, 1 draw noise in training, in a forward pass of" in str(found)


@KINDS
def test_rates(build: Callable[[], Any]) -> None:
    """Set, scaled, switched off: what `training=True` gives follows; all is put back after an error."""
    model = build()
    model(X)
    assert thinned.rates(model) == {"drop": 0.5}
    assert thinned.set_rates(model, {"d*": 0.25}) == {"drop": 0.25}
    assert thinned.scale_rates(model, 2.0) == {"drop": 0.5}
    assert thinned.inspect(model, X)["drop"].p == 0.5
    with thinned.disabled(model):
        assert (numbers(model(X, training=True)) != 0).all()
        with thinned.disabled(model):
            assert thinned.rates(model) == {"drop": 0.0}
        assert thinned.rates(model) == {"drop": 0.0}
    assert thinned.rates(model) == {"drop": 0.5}
    with pytest.raises(ZeroDivisionError), thinned.disabled(model):
        numbers(1 // 0)
    assert thinned.rates(model) == {"drop": 0.5}
    assert (numbers(model(X, training=True)) == 0).any()


@KINDS
def test_predict(build: Callable[[], Any]) -> None:
    """As `thinned.interop.keras.predict`: dropout alone is live, by the seed, Keras's own without a seed too."""
    model = build()
    model(X)
    before = kept(model)
    found = thinned.predict(model, torch.tensor(X), 8, seed=3, samples=True, levels=(0.5,))
    assert found.places == ("drop",)
    assert found.samples is not None
    still = np.asarray(numbers(model(X)))
    assert (torch.isclose(found.samples, torch.tensor(2 * still), rtol=1e-4) | (found.samples == 0)).all()
    again = tk.predict(model, X, 8, seed=3, levels=(0.5,))
    assert (found.mean == again.mean).all()
    assert (found.quantiles == again.quantiles).all()
    assert (found.mean != thinned.predict(model, X, 8, seed=4).mean).any()
    assert same(model, before)
    rarer = thinned.predict(model, X, 8, seed=3, p=0.1, samples=True).samples
    assert rarer is not None
    assert int((rarer == 0).sum()) < int((found.samples == 0).sum()) / 3
    assert thinned.rates(model) == {"drop": 0.5}


def test_kinds_of_layers() -> None:
    model, x = of_many_kinds(), X.reshape(4, 8, 8)[:, :3]
    rates = {
        "lstm": 0.2,
        "lstm.recurrent_dropout": 0.0,
        "attention": 0.1,
        "inner/channels": 0.3,
        "rnn/cells/cell": 0.0,
        "rnn/cells/cell.recurrent_dropout": 0.2,
        "rnn/cells/last": 0.0,
        "rnn/cells/last.recurrent_dropout": 0.0,
        "weights": 0.1,
    }
    assert thinned.rates(model) == pytest.approx(rates)
    found = {place.name: place for place in thinned.inspect(model, x, passes=1).places}
    assert {name for name, place in found.items() if place.active == "train"} == {
        *(name for name, p in rates.items() if p),
        "noise",
    }
    assert all(place.eval_calls == 0 for place in found.values())
    assert found["inner/channels"].shared == (1,)
    assert found["lstm"].kind == "LSTM"
    assert found["attention"].kind == "MultiHeadAttention"
    with thinned.disabled(model):
        one, other = (numbers(model(x, training=True)) for _ in range(2))
    assert (one == other).all()
    assert thinned.rates(model) == pytest.approx(rates)
    sites = ("lstm", "attention", "inner/channels", "rnn/cells/cell", "weights")
    for site in sites[3:4] if keras.backend.backend() == "jax" else sites:  # a second each there, uncompiled
        samples = thinned.predict(model, x, 2, sites=site, samples=True).samples
        assert samples is not None
        assert (samples[0] != samples[1]).any(), site
    assert thinned.set_rates(model, {"*": 0.0}).keys() == {name for name, p in rates.items() if p}
    with pytest.raises(ValueError, match="must have dropout with a rate above 0"):
        thinned.predict(model, x)


def test_what_fit_has_compiled_is_compiled_anew() -> None:
    """At learning rate 0 the loss in training is that of evaluation once the rate is 0, and not before."""
    model = keras.Sequential([keras.Input((8,)), layers.Dropout(0.5), layers.Dense(4)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    y = X[:, :4]

    def loss() -> float:
        return float(model.train_on_batch(X, y))

    still = float(model.test_on_batch(X, y))
    assert loss() != pytest.approx(still, rel=1e-5)
    with thinned.disabled(model):
        model.reset_metrics()
        assert loss() == pytest.approx(still, rel=1e-5)
    model.reset_metrics()
    assert loss() != pytest.approx(still, rel=1e-5)
    thinned.set_rates(model, {"*": 0.0})
    model.reset_metrics()
    assert loss() == pytest.approx(still, rel=1e-5)


def test_rates_that_can_not_be_set() -> None:
    model = keras.Sequential(
        [keras.Input((6, 8)), layers.Dropout(0.0, name="never"), layers.GRU(4, dropout=0.1, name="gru")]
    )
    before = thinned.rates(model)
    for wanted, error, words in (
        ({"gru": 0.2, "never": 0.5}, ValueError, "'never' must have a seed. Got a Dropout of Keras's"),
        ({"gru": 1}, ValueError, "p of a recurrent layer must be below 1"),
        ({"gru": 20}, ValueError, "If 20 % was meant"),
        ({"gru": "x"}, TypeError, "`p` must be a number"),
        ({"drop": 0.5}, ValueError, "Got 'drop', which matches none. Places: "),
    ):
        with pytest.raises(error, match=words):
            thinned.set_rates(model, wanted)  # type: ignore[arg-type]
        assert thinned.rates(model) == before
    with pytest.raises(ValueError, match=r"`scale_rates`: p must stay in \[0, 1\]"):
        thinned.scale_rates(model, 20)


class Unseeded(layers.Layer):  # type: ignore[misc]
    def call(self, x: Any, training: bool = False) -> Any:
        return keras.random.dropout(x, 0.5) if training else x


class WithSeed(layers.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="own")
        self.generator = keras.random.SeedGenerator(0)

    def call(self, x: Any, training: bool = False) -> Any:
        return keras.random.dropout(x, 0.5, seed=self.generator) if training else x


def test_noise_that_has_no_rate_is_named() -> None:
    model = keras.Sequential([keras.Input((8,)), tk.Dropout(0.5), Unseeded()])
    assert [place.active for place in thinned.inspect(model, X).places if place.name == "noise without a seed"] == [
        "train"
    ]
    with pytest.raises(TypeError, match=r"Got a draw in training without a seed, as of keras\.random"):
        thinned.predict(model, X)
    model = keras.Sequential([keras.Input((8,)), tk.Dropout(0.5), WithSeed()])
    assert thinned.inspect(model, X)["own"].active == "train"
    with pytest.raises(TypeError, match="Got 'own', a WithSeed with a seed of its own"):
        thinned.predict(model, X)
    with pytest.raises(TypeError, match="`disabled`: 'own' must have a rate that can be 0"), thinned.disabled(model):
        pass
    with thinned.disabled(model, allow="own"):
        assert (numbers(model(X, training=True)) == 0).any()
    loose = keras.Sequential([keras.Input((8,)), layers.Dropout(0.5), Unseeded()])
    with pytest.raises(TypeError, match="Got a draw in training without a seed"), thinned.disabled(loose, example=X):
        pass
    assert thinned.rates(loose) == {loose.layers[0].name: 0.5}
    with thinned.disabled(loose, example=X, allow="noise without a seed"), thinned.disabled(functional(), example=X):
        assert (numbers(loose(X, training=True)) == 0).any()
    augmented = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.RandomFlip(name="flip"), layers.SpatialDropout2D(0.5, name="drop")]
    )
    with pytest.raises(TypeError, match=r"'flip' must have a rate .* a RandomFlip, which augments"):
        thinned.disabled(augmented).__enter__()
    with thinned.disabled(augmented, "drop"):
        assert thinned.rates(augmented) == {"drop": 0.0}


class Untold(keras.Model):  # type: ignore[misc]
    """A model whose `call` has no `training`."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.drop = layers.Dense(4, name="dense"), layers.Dropout(0.5, seed=1, name="drop")

    def call(self, x: Any) -> Any:
        return self.drop(self.dense(x))


def test_a_model_that_fit_tells_no_mode() -> None:
    """`fit` calls it without `training`, and its dropout never runs: `inspect` says so."""
    model = Untold()
    model.compile("sgd", "mse")
    model.fit(X, X[:, :4], verbose=0)
    assert numbers(model.drop.seed_generator.state).tolist() == [1, 0]  # no call has drawn
    assert [(place.active, place.remark) for place in thinned.inspect(model, X).places] == [
        ("never", "configured, never ran")
    ]


class Late(layers.Layer):  # type: ignore[misc]
    """It makes its dropout when it is built."""

    def build(self, shape: Any) -> None:
        self.drop = layers.Dropout(0.5, name="drop")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.drop(x, training=training)


def test_a_model_that_is_not_built() -> None:
    """Dropout that is made in `build` is not passed over: refused by name until it is there."""
    for late, x in ((Late(name="late"), X), (layers.MultiHeadAttention(2, 4, dropout=0.2, name="late"), None)):
        model = keras.Sequential([layers.Dense(4), late])
        for call in (
            lambda model=model: thinned.rates(model),
            lambda model=model: thinned.set_rates(model, {"*": 0.1}),
            lambda model=model: thinned.scale_rates(model, 0.5),
            lambda model=model: thinned.disabled(model).__enter__(),
        ):
            with pytest.raises(ValueError, match="`model` must be built, as 'late' makes its layers"):
                call()
        if x is not None:
            model(x)
            assert thinned.rates(model) == {"late/drop": 0.5}
    assert thinned.rates(keras.Sequential([layers.Dense(4), layers.Dropout(0.5, name="drop")])) == {"drop": 0.5}


@pytest.mark.parametrize("x", [3, None, X.tolist(), {"a": X, "b": [1.0]}])
def test_an_input_of_predict_that_is_none(x: Any) -> None:
    with pytest.raises(TypeError, match=r"`MonteCarlo`: `x` must be an array with rows on axis 0.*np\.asarray"):
        thinned.predict(functional(), x)


def test_inputs_of_predict_that_differ_in_rows() -> None:
    given = [keras.Input((8,)), keras.Input((8,))]
    model = keras.Model(given, tk.Dropout(0.5)(layers.Add()(given)))
    assert tk.predict(model, [X, X], 2, batch_size=20).mean.shape == (32, 8)
    with pytest.raises(ValueError, match=r"all arrays in `x` must have the same number of rows. Got \[32, 1\]"):
        thinned.predict(model, [X, X[:1]])


def test_noise_at_inference_is_seen_and_left_out_of_predictions() -> None:
    inputs = keras.Input((8,))
    x = layers.GaussianNoise(0.5, name="noise")(inputs, training=True)
    model = keras.Model(inputs, tk.Dropout(0.5, name="drop")(x, training=True))
    found = thinned.inspect(model, X)
    assert [(place.name, place.active, place.remark) for place in found.places] == [
        ("noise", "both", "draws in eval mode"),
        ("drop", "both", "draws in eval mode"),
    ]
    samples = thinned.predict(model, X, 3, samples=True).samples
    assert samples is not None
    assert ((samples == 0) | torch.isclose(samples, 2 * torch.tensor(X))).all()


def test_classes() -> None:
    """Probabilities by default, as after Keras's softmax; logits where that is said; never the one for the other."""
    logits = keras.Sequential([keras.Input((8,)), tk.Dropout(0.5), layers.Dense(3)])
    both = keras.Sequential([*logits.layers, layers.Softmax()])
    given = thinned.predict(both, X, 4, task="classification")
    made = thinned.predict(logits, X, 4, task="classification", output="logits")
    assert torch.allclose(given.mean, made.mean, atol=1e-5)
    assert torch.allclose(made.mean.sum(1), torch.ones(32))
    with pytest.raises(ValueError, match=r"answers must be in .*Pass output='logits' for logits"):
        thinned.predict(logits, X, 4, task="classification")
    percentages = keras.Sequential([*both.layers, layers.Rescaling(100.0)])
    with pytest.raises(ValueError, match=r"sums from 100 to 100\. Divide the model's answer by its sums over axis 1\."):
        thinned.predict(percentages, X, 4, task="classification")
    one = keras.Sequential([keras.Input((8,)), tk.Dropout(0.5), layers.Dense(1, activation="sigmoid")])
    assert thinned.predict(one, X, 4, task="classification").mean.shape == (32, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("shared_masks", True), ("memory", 1000), ("select", 0), ("device", "cpu"), ("inputs", list), ("progress", True)],
)
def test_what_predict_takes_for_torch_alone_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"`predict`: `{name}` is for models of torch"):
        thinned.predict(functional(), X, **{name: value})


REFUSED: dict[str, Callable[[Any], object]] = {
    "apply": lambda model: thinned.apply(model, None),  # type: ignore[arg-type]
    "calibrate": lambda model: thinned.calibrate(model, (X, X)),  # type: ignore[arg-type]
    "check": lambda model: thinned.check(model, X),
    "convert": lambda model: thinned.convert(model),
    "eval_guard": lambda model: thinned.eval_guard(model),
    "freeze": lambda model: thinned.freeze(model),
    "geometric_mean": lambda model: thinned.geometric_mean(model, X),
    "load_rates": lambda model: thinned.load_rates(model, "rates.toml"),
    "MaxNorm": lambda model: thinned.MaxNorm(model),
    "plan": lambda model: thinned.plan(model, X),
    "predict": lambda model: thinned.Predictor(model),
    "recalibrate_batchnorm": lambda model: thinned.recalibrate_batchnorm(model, [X]),
    "revert": lambda model: thinned.revert(model),
    "save_rates": lambda model: thinned.save_rates(model, "rates.toml"),
    "Schedule": lambda model: thinned.Schedule(model, {"*": 0.1}),
    "stream": lambda model: thinned.stream(model, 0),
    "thaw": lambda model: thinned.thaw(model),
    "thinned_networks": lambda model: thinned.thinned_networks(model, 2, X),
    "tune": lambda model: thinned.study.tune(lambda model, rates, seed, budget: 0.0, model),
    "variance_shift": lambda model: thinned.variance_shift(model, X),
    "weight_scaling": lambda model: thinned.weight_scaling(model, X),
}


@pytest.mark.parametrize("owner", REFUSED)
def test_the_others_refuse_it_by_name(owner: str) -> None:
    for model in (functional(), layers.Dropout(0.5)):
        with pytest.raises(TypeError, match=rf"`{owner}`: `\w+` must be .*, a model of Keras: '{model.name}'\. \w"):
            REFUSED[owner](model)


def test_the_command_line(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A factory, a class and a model; what is refused ends with 2 and the reason."""
    from typer.testing import CliRunner

    from thinned.cli.app import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kerasnet.py").write_text(
        "import keras\n\n\n"
        "def build():\n"
        "    return keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5, name='drop')])\n\n\n"
        "model = build()\n"
    )
    for name in ("build", "model"):
        found = CliRunner().invoke(app, ["inspect", f"kerasnet:{name}", "--input", "64x8", "--output-format", "json"])
        assert found.exit_code == 0, found.output
        assert '"name": "drop"' in found.output
        assert '"active": "train"' in found.output
    for verb in (["check", "--model"], ["plan"]):
        found = CliRunner().invoke(app, [*verb, "kerasnet:build", "--input", "64x8"])
        assert found.exit_code == 2
        assert "a model of Keras" in found.output
