"""The networks to take away as files: `networks.safetensors` and `config.toml`; `save` writes them, `load` reads them.

Both are plain data: loading them runs no code that they bring. `config.toml` is for people too; `schema` says what it
may hold, `check` what the arrays must be.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import tomli_w
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError

from ...replaced_file import replace_file
from ..answer.together import offsets
from ..data.column import column_of, facts_of
from ..data.dataset import Dataset
from ..data.image_form import ImageForm
from ..data.prepare import Preparation
from ..data.source import learned
from ..data.words import WordList, WordsPlan
from ..error import UnreadableError
from ..networks.device import CPU, usable_device
from ..record import CONFIG, WEIGHTS
from ..trial.config import Level, Recipe
from .check import PREPARED, RESIDUALS, check_arrays, numbers_of, shape_of
from .model import EnsembleMember, StudyModel
from .schema import ConfigFile, MemberFacts, Words, fault

FORMAT = 3
_READABLE = "Make it a file that can be read."
_OLDER = "best.safetensors"
SCHEDULE = (
    "cycles of 100, 200, 400, ... steps; in each a tenth of the steps linearly up, then linearly down to 0; of the "
    "states at their ends the one with the least validation loss is kept"
)


def save(
    folder: Path,
    data: Dataset,
    members: Sequence[EnsembleMember],
    level: Level,
    recipe: Recipe,
    *,
    temperature: float = 1.0,
    residuals: NDArray[np.float64] | None = None,
) -> None:
    """Write the networks and everything that their predictions need.

    Arguments:
        members: one network a seed, all of `level`.
        temperature: for classes, `ensemble.temperature_of` the members.
        residuals: for numbers, `ensemble.residuals_of` the members.

    Raises: OSError where the folder can't be written to. The earlier networks stay whole in this case.
    """
    residuals = np.zeros(0) if residuals is None else np.sort(residuals.astype(np.float64))
    arrays: dict[str, NDArray[Any]] = {RESIDUALS: residuals}
    for number, member in enumerate(members):
        arrays |= {f"{number}.network.{name}": np.asarray(value, order="C") for name, value in member.weights.items()}
        prepared = {name: np.ascontiguousarray(getattr(member.preparation, name)) for name in PREPARED}
        arrays |= {f"{number}.prepare.{name}": value for name, value in prepared.items()}
    weights = safetensors.numpy.save(arrays)
    facts: dict[str, Any] = {"format": FORMAT, "task": data.task}
    if data.classes:
        facts |= {"temperature": float(temperature), "target": {"name": data.target, "classes": list(data.classes)}}
    else:
        low, high = offsets(residuals)
        facts["target"] = {"name": data.target, "residual_low": low, "residual_high": high, "level": 0.95}
    facts |= {
        "network": {
            "members": len(members),
            "hidden": list(recipe.hidden),
            "p": float(level.p),
            "p_input": float(level.p_input),
            "activation": "relu",
            **({} if recipe.network == "perceptron" else {"kind": recipe.network}),
            "sha256": hashlib.sha256(weights).hexdigest(),  # of the weights' file
        },
        "training": {
            "optimiser": "AdamW",
            "weight_decay": float(level.weight_decay),
            "schedule": SCHEDULE,
            "max_steps": recipe.max_steps,
            "batch": recipe.batch,
            "study_seed": recipe.key,
            **({} if recipe.device == CPU else {"device": recipe.device}),
        },
        "inputs": {"columns": list(members[0].preparation.columns), **_reading(data), **_pictures(data)},
        "members": [_facts(member, numeric=not data.classes) for member in members],
    }
    replace_file(folder / WEIGHTS, weights)
    replace_file(folder / CONFIG, tomli_w.dumps(facts).encode())


def _reading(data: Dataset) -> dict[str, Any]:
    """How each column was read, and which had no part in it."""
    columns = learned(data).columns
    apart = [column for column in columns if not column.feature and column.role != "target"]
    return {
        "read": [facts_of(column) for column in columns if column.feature],
        "apart": [{"name": column.name, "why": column.role or column.why} for column in apart],
    }


def _pictures(data: Dataset) -> dict[str, Any]:
    """The form of pictures."""
    return {} if data.image is None else {"pictures": asdict(data.image)}


def _facts(member: EnsembleMember, numeric: bool) -> dict[str, Any]:
    prepared = member.preparation
    return {
        "seed": member.seed,
        "lr": float(member.lr),
        **({"mean": float(member.mean), "scale": float(member.scale)} if numeric else {}),
        "texts": [
            {"name": name, "levels": list(levels), "rare": rare}
            for name, levels, rare in zip(prepared.texts, prepared.levels, prepared.rare, strict=True)
        ],
        "dates": [{"name": name, "parts": list(parts)} for name, parts in prepared.dates],
        **({} if prepared.words is None else {"words": _words(prepared.words)}),
    }


def _words(words: WordList) -> dict[str, Any]:
    plan = words.plan
    facts = {"column": plan.column, "slots": plan.slots, "length": plan.length, "known": list(words.known)}
    return facts if plan.fixed is None else {**facts, "following": True}


def _word_list(words: Words) -> WordList:
    known = tuple(words.known)
    return WordList(WordsPlan(words.column, words.slots, words.length, known if words.following else None), known)


def load(folder: str | Path, device: str = "cpu") -> StudyModel:
    """The networks of a study's folder, ready to predict.

    Both files are checked as a whole first: every key, shape, kind and range. Nothing larger than the files is made
    before they agree, and nothing in them is executed.

    Arguments:
        folder: of a finished study, trained on whatever device.
        device: where the networks answer, as torch names it: "cuda". What they answer is the CPU's within rounding.

    Raises StudyError where the device can't be used, the folder has no finished study, a file is damaged, or the two do
    not belong together.
    """
    folder, device = Path(folder), usable_device(device)
    config, stored = folder / CONFIG, folder / WEIGHTS
    absent = [path.name for path in (config, stored) if not path.is_file()]
    if absent and (folder / _OLDER).is_file():
        raise UnreadableError(f"{folder} was written by an older version of thinned", "Run the study again.")
    if absent:
        raise UnreadableError(f"{folder} has no {absent[0]}", "Pass the folder of a finished study.")
    try:
        facts = tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableError(f"{config} cannot be read: {error.strerror}", _READABLE) from error
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{config} is damaged: {error}") from error
    if facts.get("format") != FORMAT:
        raise UnreadableError(
            f"{config} has format {facts.get('format')}; this version reads {FORMAT}",
            "Run the study again in another folder, or use the version of thinned that wrote it.",
        )
    try:
        said = ConfigFile.model_validate(facts)
    except ValidationError as error:
        raise UnreadableError(f"{config} is damaged: {fault(error)}") from error
    try:
        weights = stored.read_bytes()
        if hashlib.sha256(weights).hexdigest() != said.network.sha256:
            raise UnreadableError(f"{config} and {stored.name} do not belong together: the weights are others")
        arrays = safetensors.numpy.load(weights)
    except OSError as error:
        raise UnreadableError(f"{stored} cannot be read: {error.strerror}", _READABLE) from error
    except (SafetensorError, KeyError, TypeError) as error:
        raise UnreadableError(f"{stored} is damaged: {error}") from error
    check_arrays(config, stored, said, arrays)
    return _model(said, arrays, device)


def _model(said: ConfigFile, arrays: Mapping[str, NDArray[Any]], device: str) -> StudyModel:
    shape, classes = said.network, tuple(said.target.classes or ())
    columns = tuple(said.inputs.columns)
    reading = tuple(column_of(column.model_dump()) for column in said.inputs.read)
    members = tuple(_member(number, member, columns, arrays, said) for number, member in enumerate(said.members))
    pictures = said.inputs.pictures
    image = None if pictures is None else ImageForm(**pictures.model_dump())
    networks = tuple(
        member.network(tuple(shape.hidden), len(classes) or 1, shape.p, shape.p_input).to(device) for member in members
    )
    return StudyModel(networks, members, classes, said.temperature, arrays[RESIDUALS], reading, image, device)


def _member(
    number: int,
    said: MemberFacts,
    columns: tuple[str, ...],
    arrays: Mapping[str, NDArray[Any]],
    config: ConfigFile,
) -> EnsembleMember:
    prefix, words = f"{number}.network.", said.words
    preparation = Preparation(
        columns=columns,
        numbers=numbers_of(columns, said),
        dates=tuple((item.name, tuple(item.parts)) for item in said.dates),
        **{name: arrays[f"{number}.prepare.{name}"] for name in PREPARED},
        texts=tuple(item.name for item in said.texts),
        levels=tuple(tuple(item.levels) for item in said.texts),
        rare=tuple(item.rare for item in said.texts),
        words=None if words is None else _word_list(words),
    )
    return EnsembleMember(
        seed=said.seed,
        lr=said.lr,
        preparation=preparation,
        weights={name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)},
        mean=said.mean,
        scale=said.scale,
        kind=config.network.kind,
        shape=shape_of(config, said, preparation.plain_inputs),
    )
