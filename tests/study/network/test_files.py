"""The networks to take away: written, loaded and asked through the public door."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import tomli_w
import torch

from thinned.fit.perceptron import Perceptron
from thinned.study import StudyError, load
from thinned.study.answer.together import offsets
from thinned.study.data.dataset import Dataset
from thinned.study.data.fit import fit
from thinned.study.network.files import save
from thinned.study.network.model import EnsembleMember
from thinned.study.record import Task
from thinned.study.results import damaged
from thinned.study.trial.config import Level, Recipe

RECIPE = Recipe(key=7, hidden=(8, 4), batch=10, max_steps=700)
LEVEL = Level("dropout", 0.3, 0.01, 0.1)
RESIDUALS = np.random.default_rng(3).normal(size=200)


def frame(rows: int = 90) -> pd.DataFrame:
    """Numbers with gaps, text with levels that are rare, a column that is empty at times."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(50, 10, rows)),
            "town": rng.choice(np.array(["Ulm", 'a "quoted" \n name', "Kiel", None], dtype=object), rows),
            "rare": ["a"] * 5 + [None] * 55 + ["b", "c"] + ["d"] * (rows - 62),
            "day": pd.date_range("2020-01-01", periods=rows, freq="D"),
        }
    )


def members(classes: int, seeds: int = 3) -> list[EnsembleMember]:
    found = []
    for seed in range(seeds):
        rows = np.random.default_rng(seed).permutation(90)[:60] if seed else np.arange(60)
        preparation = fit(frame().iloc[rows])
        generator = torch.Generator().manual_seed(seed)
        network = Perceptron(preparation.inputs, RECIPE.hidden, classes or 1, 0.3, 0.1, generator)
        weights = {name: value.numpy() for name, value in network.state_dict().items()}
        own = (0.0, 1.0) if classes else (100.0 + seed, 10.0 + seed)
        found.append(EnsembleMember(seed, 0.001 * (1 + seed), preparation, weights, *own))
    return found


def data(classes: tuple[str | int | bool, ...]) -> Dataset:
    y = np.zeros(90, dtype=np.int64) if classes else np.zeros(90)
    task: Task = "classification" if classes else "regression"
    return Dataset("a table", "a file", task, "target", frame(), y, classes)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    folder = tmp_path / "numbers"
    folder.mkdir()
    save(folder, data(()), members(0), LEVEL, RECIPE, residuals=RESIDUALS)
    return folder


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    folder = tmp_path / "classes"
    folder.mkdir()
    save(folder, data(("yes", "no", "perhaps")), members(3), LEVEL, RECIPE, temperature=1.7)
    return folder


def own_answers(classes: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    found = []
    for member in members(classes):
        network = Perceptron(member.preparation.inputs, RECIPE.hidden, classes or 1, 0.3, 0.1).eval()
        network.load_state_dict({name: torch.tensor(value) for name, value in member.weights.items()})
        with torch.no_grad():
            output = network(torch.from_numpy(member.preparation(frame()))).double().numpy()
        found.append(output if classes else output[:, 0] * member.scale + member.mean)
    return found


def test_numbers(numbers: Path) -> None:
    model = load(numbers)
    answers = own_answers(0)
    assert model.predict(frame()) == pytest.approx(np.mean(answers, axis=0), rel=1e-12)
    assert model.spread(frame()) == pytest.approx(np.std(answers, axis=0, ddof=1), rel=1e-9)
    low, high = offsets(np.sort(RESIDUALS))
    interval = model.predict_interval(frame())
    assert interval == pytest.approx(model.predict(frame())[:, None] + [low, high], rel=1e-12)
    wider = model.predict_interval(frame(), level=0.98)
    assert (wider[:, 0] < interval[:, 0]).all()
    assert (wider[:, 1] > interval[:, 1]).all()
    assert np.isinf(model.predict_interval(frame(), level=0.999)).all()
    with pytest.raises(StudyError, match="`predict_proba`: only a classifier"):
        model.predict_proba(frame())
    with pytest.raises(StudyError, match=r"`level` must be above 0 and below 1. Got 95. If 95 % was meant, pass 0.95."):
        model.predict_interval(frame(), level=95)


def test_classes(classes: Path) -> None:
    model = load(classes)
    mean = np.mean([torch.from_numpy(z).softmax(1).numpy() for z in own_answers(3)], axis=0)
    expected = mean ** (1 / 1.7) / (mean ** (1 / 1.7)).sum(axis=1, keepdims=True)
    assert model.predict_proba(frame()) == pytest.approx(expected, rel=1e-10)
    assert model.predict(frame()).tolist() == [("yes", "no", "perhaps")[i] for i in mean.argmax(axis=1)]
    assert model.spread(frame()).shape == (90, 3)
    with pytest.raises(StudyError, match="`predict_interval`: only numbers have an interval"):
        model.predict_interval(frame())


def test_columns_by_name_in_any_order_and_arrays(numbers: Path) -> None:
    model = load(numbers)
    x = frame()
    expected = model.predict(x)
    assert np.array_equal(model.predict(x[x.columns[::-1]].assign(more=1)), expected)
    assert model.columns == ("age", "town", "rare", "day")
    assert [one.preparation.texts for one in model.members] == [("town", "rare")] * 3
    assert len({one.preparation.inputs for one in model.members}) > 1  # the rare levels of each are its own
    with pytest.raises(StudyError, match="Missing: town, day"):
        model.predict(x[["age", "rare"]])
    with pytest.raises(StudyError, match=r"must be rows x 4 columns. Got an array of shape \(4,\). For one row pass"):
        model.predict(np.zeros(4))


def test_the_file_for_people(numbers: Path, classes: Path) -> None:
    facts = tomllib.loads((numbers / "config.toml").read_text())
    assert facts["format"] == 3
    low, high = offsets(np.sort(RESIDUALS))
    assert facts["target"] == {"name": "target", "residual_low": low, "residual_high": high, "level": 0.95}
    assert facts["network"] | {"sha256": ""} == {
        "members": 3, "hidden": [8, 4], "p": 0.3, "p_input": 0.1, "activation": "relu", "sha256": "",
    }  # fmt: skip
    assert facts["training"]["weight_decay"] == 0.01
    assert [member["seed"] for member in facts["members"]] == [0, 1, 2]
    assert [member["lr"] for member in facts["members"]] == [0.001, 0.002, 0.003]
    assert [member["mean"] for member in facts["members"]] == [100.0, 101.0, 102.0]
    facts = tomllib.loads((classes / "config.toml").read_text())
    assert facts["temperature"] == 1.7
    assert facts["target"] == {"name": "target", "classes": ["yes", "no", "perhaps"]}
    assert "mean" not in facts["members"][0]


def test_few_residuals_make_an_interval_without_an_end(tmp_path: Path) -> None:
    save(tmp_path, data(()), members(0), LEVEL, RECIPE, residuals=RESIDUALS[:38])
    assert load(tmp_path).predict_interval(frame()).tolist() == [[-math.inf, math.inf]] * 90


def test_the_modules_are_in_evaluation_mode_with_their_rates(classes: Path) -> None:
    for network in load(classes).networks:
        assert isinstance(network, Perceptron)
        assert not network.training
        assert network.drops
        assert [layer.p for layer in network.dropout] == [0.3, 0.3]
        assert network.input_dropout.p == 0.1


def change(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 3", "format = 4", "has format 4; this version reads 3"),
        ("format = 3", "format = 2", "has format 2; this version reads 3. Run the study again in another folder"),
        ("format = 3", "format = ", "damaged"),
        ("sha256 = ", 'sha256 = "" # ', "do not belong together: the weights are others"),
        ("    8,\n", "    9,\n", "do not belong together or are damaged"),
        ("seed = 0\n", "", "damaged"),
        ("[inputs]", "[input]", "damaged"),
    ],
)
def test_damaged_files(numbers: Path, old: str, new: str, said: str) -> None:
    config = numbers / "config.toml"
    config.write_text(change(config.read_text(), old, new))
    with pytest.raises(StudyError, match=said):
        load(numbers)


def test_folders_without_networks(tmp_path: Path, numbers: Path, classes: Path) -> None:
    with pytest.raises(StudyError, match=r"has no config\.toml\. Pass the folder of a finished study"):
        load(tmp_path)
    shutil.copy(classes / "networks.safetensors", numbers)
    with pytest.raises(StudyError, match="do not belong together"):
        load(numbers)
    (numbers / "networks.safetensors").write_bytes(b"short")
    with pytest.raises(StudyError, match="do not belong together"):
        load(numbers)
    (numbers / "networks.safetensors").rename(numbers / "best.safetensors")
    with pytest.raises(StudyError, match="was written by an older version of thinned"):
        load(numbers)


def rewritten(folder: Path, change_array: Callable[[dict[str, Any]], object], **facts: Any) -> Path:
    """The arrays changed, and `config.toml` with their digest: two files that belong together."""
    arrays = safetensors.numpy.load_file(folder / "networks.safetensors")
    change_array(arrays)
    content = safetensors.numpy.save(arrays)
    (folder / "networks.safetensors").write_bytes(content)
    config = folder / "config.toml"
    said = tomllib.loads(config.read_text())
    said["network"] |= {"sha256": hashlib.sha256(content).hexdigest()} | facts
    config.write_text(tomli_w.dumps(said))
    return folder


def test_a_file_that_was_rewritten_and_is_sound_loads(numbers: Path) -> None:
    before = load(numbers).predict(frame())
    assert np.array_equal(load(rewritten(numbers, lambda arrays: None)).predict(frame()), before)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("p = 0.3", "p = 5", r"network.p: input should be less than or equal to 1. Got 5"),
        ("p = 0.3", "p = nan", r"network.p: input should be"),
        ("p = 0.3", 'p = "0.3"', r"network.p: input should be a valid number. Got '0.3'"),
        ("p = 0.3", "p = -0.1", r"network.p: input should be greater than or equal to 0"),
        ("p_input = 0.1", "p_input = inf", r"network.p_input"),
        ('activation = "relu"', 'activation = "tanh"', r"network.activation: input should be 'relu'. Got 'tanh'"),
        ("members = 3", "members = 2", r"network.members must be the number of members, 3"),
        ("lr = 0.001", "lr = nan", r"members.0.lr"),
        ("scale = 10.0", "scale = 0.0", r"members.0.scale: input should be greater than 0. Got 0.0"),
        ("scale = 10.0", "scale = -1.0", r"members.0.scale"),
        ("mean = 100.0", "mean = inf", r"members.0.mean: input should be a finite number"),
        ('task = "regression"', 'task = "classification"', r"task and target.classes must be of one kind"),
        ("seed = 0", "seed = true", r"members.0.seed: input should be a valid integer. Got True"),
        ("seed = 0", "seed = 0\nsede = 1", r"members.0.sede: extra inputs are not permitted"),
        ('    "age",\n', '    "town",\n', r"inputs.columns must differ"),
        ('decimal = "."', 'decimal = "x"', r"inputs.read.0.number.decimal: input should be '.' or ','"),
        ('"weekday"', '"moon"', r"parts of dates must be among"),
        ("residual_low = -", "residual_low = -9", r"residual_low and residual_high are not those of the residuals"),
    ],
)
def test_a_config_that_no_study_writes_is_refused_with_its_place(numbers: Path, old: str, new: str, said: str) -> None:
    config = numbers / "config.toml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    with pytest.raises(StudyError, match=said) as caught:
        load(numbers)
    assert str(config) in str(caught.value)
    assert "Give the study's command again" in str(caught.value)


def put(name: str, place: Any, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda arrays: arrays[name].__setitem__(place, value)


def exchange(name: str, make: Callable[[Any], Any]) -> Callable[[dict[str, Any]], object]:
    return lambda arrays: arrays.update({name: np.ascontiguousarray(make(arrays[name]))})


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda config, stored: stored.unlink(), "{folder} has no networks.safetensors"),
        (lambda config, stored: config.unlink(), "{folder} has no config.toml"),
        (
            lambda config, stored: (config.unlink(), (config.parent / "best.safetensors").touch()),
            "{folder} was written by an older version of thinned",
        ),
        (
            lambda config, stored: config.write_text(change(config.read_text(), "format = 3", "format = 2")),
            "{folder}/config.toml has format 2; this version reads 3",
        ),
        (
            lambda config, stored: config.write_text(change(config.read_text(), "[inputs]", "[input]")),
            "{folder}/config.toml is damaged: inputs.columns: field required",
        ),
        (
            lambda config, stored: stored.write_bytes(b"short"),
            "{folder}/config.toml and networks.safetensors do not belong together: the weights are others",
        ),
        (
            lambda config, stored: rewritten(config.parent, lambda arrays: arrays.update(more=np.zeros(3))),
            "{folder}/config.toml and networks.safetensors do not belong together or are damaged: more is one too many",
        ),
        (
            lambda config, stored: rewritten(config.parent, put("1.prepare.scale", 0, 0.0)),
            "{folder}/networks.safetensors is damaged: 1.prepare.scale must be above 0. Got 0.0",
        ),
    ],
)
def test_a_study_that_goes_on_says_why_it_writes_the_networks_anew(
    numbers: Path, harm: Callable[[Path, Path], object], reason: str
) -> None:
    """In two sentences, of which the second is not what whoever loads them should do."""
    assert damaged(numbers) == []
    harm(numbers / "config.toml", numbers / "networks.safetensors")
    reason = reason.format(folder=numbers)
    assert damaged(numbers) == [f"{reason}. The networks will be written anew."]
    with pytest.raises(StudyError, match=f"^`load`: {re.escape(reason)}\\. [A-Z]"):
        load(numbers)


@pytest.mark.parametrize(
    ("change_array", "said"),
    [
        (put("0.network.linear.1.weight", (0, 0), np.nan), "linear.1.weight must be finite numbers. 1 are not"),
        (put("2.network.linear.0.bias", 0, np.inf), "2.network.linear.0.bias must be finite"),
        (put("1.prepare.mean", 0, np.nan), "1.prepare.mean must be finite"),
        (put("1.prepare.scale", 0, 0.0), "1.prepare.scale must be above 0. Got 0.0"),
        (put("1.prepare.scale", 0, np.nan), "1.prepare.scale must be above 0. Got nan"),
        (put("residuals", 0, -np.inf), "residuals must be finite"),
        (put("0.prepare.gaps", 0, 77), "0.prepare.gaps must be different numbers below"),
        (exchange("0.network.linear.2.bias", lambda a: a.astype(np.float64)), "must be float32. Got float64"),
        (exchange("0.network.linear.2.weight", lambda a: a[:, :1]), r"must have the shape \(1, 4\). Got \(1, 1\)"),
        (exchange("0.prepare.mean", lambda a: a[:1]), r"0.prepare.mean must have the shape \(.,\). Got \(1,\)"),
        (exchange("0.prepare.fill", lambda a: a[None]), r"0.prepare.fill must have the shape"),
        (lambda arrays: arrays.pop("1.network.linear.0.weight"), "1.network.linear.0.weight is not there"),
        (lambda arrays: arrays.update(more=np.zeros(3)), "more is one too many"),
    ],
)  # fmt: skip
def test_arrays_that_no_study_writes_are_refused_by_name(
    numbers: Path, change_array: Callable[[dict[str, Any]], object], said: str
) -> None:
    with pytest.raises(StudyError, match=said) as caught:
        load(rewritten(numbers, change_array))
    assert "networks.safetensors" in str(caught.value)


def test_layers_are_compared_before_they_are_made(numbers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """14 GB of weights, of which the file holds 2 KB."""
    monkeypatch.setattr(Perceptron, "__init__", None)
    with pytest.raises(StudyError, match=r"0.network.linear.0.weight must have the shape \(60000, "):
        load(rewritten(numbers, lambda arrays: None, hidden=[60_000, 60_000]))


@pytest.mark.parametrize("name", ["config.toml", "networks.safetensors"])
def test_a_file_that_was_cut_emptied_or_changed_is_named(numbers: Path, name: str) -> None:
    path = numbers / name
    content = path.read_bytes()
    for harmed in (b"", content[: len(content) // 2], b"\xff" + content[1:], content[:-9] + b"\0" + content[-8:]):
        path.write_bytes(harmed)
        with pytest.raises(StudyError, match=re.escape(name)):
            load(numbers)
    if name == "config.toml":
        path.write_text("a = " + "[" * 5000)
        with pytest.raises(StudyError, match=r"config\.toml is damaged"):
            load(numbers)


def test_the_shapes_are_those_of_the_layers() -> None:
    for hidden in ((3,), (5, 2)):
        state = Perceptron(4, hidden, 2, 0.5).state_dict()
        assert Perceptron.shapes(4, hidden, 2) == {name: tuple(value.shape) for name, value in state.items()}
