"""What has finished: one file a trial, written whole or not at all, so that a study can go on where it stopped."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...replaced_file import replace_file
from .dataset import StudyError
from .trial import Config, Measured, Outcome, Score

FOLDER = "journal"
SETTINGS = "settings.json"
_PARTS = ("train", "val", "test")
_MEANS = ("error", "nll", "loss")


class Journal:
    """The finished trials of one study folder.

    Arguments:
        folder: the study's folder; made if need be.
        settings: everything that decides the numbers. A folder holds trials of one setting only.

    Raises StudyError: the folder belongs to something else, or to a study with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder / FOLDER
        settings = json.loads(json.dumps(settings))
        path = self.folder / SETTINGS
        if folder.exists() and not folder.is_dir():
            raise StudyError(f"{folder}: `--out` must be a folder. This is a file. Name another with --out.")
        if path.is_file():
            _compare(folder, json.loads(path.read_text(encoding="utf-8")), settings)
        elif folder.is_dir() and any(folder.iterdir()):
            raise StudyError(
                f"{folder}: `--out` must be a new or empty folder, or an earlier study's. Name another with --out."
            )
        else:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                replace_file(path, (json.dumps(settings, indent=1) + "\n").encode())
            except OSError as error:
                raise StudyError(
                    f"{folder}: cannot be written to: {error.strerror}. Name another folder with --out."
                ) from error

    def read(self) -> dict[Config, Outcome]:
        """Every finished trial."""
        found = [_load(path) for path in sorted(self.folder.glob("*.npz"))]
        return {outcome.config: outcome for outcome in found}

    def add(self, outcome: Outcome) -> None:
        """Write a finished trial."""
        path = self.folder / f"{outcome.config.name}.npz"
        facts = {
            "config": asdict(outcome.config),
            "points": [asdict(point) for point in outcome.points],
            "seconds": outcome.seconds,
            **{part: {name: getattr(getattr(outcome, part), name) for name in _MEANS} for part in _PARTS},
        }
        test = outcome.test
        content = io.BytesIO()
        np.savez(content, facts=json.dumps(facts), error=test.row_error, nll=test.row_nll, sure=test.row_sure)
        replace_file(path, content.getvalue())


def _load(path: Path) -> Outcome:
    """A trial; of training and validation rows only the means are written."""
    with np.load(path) as arrays:
        facts = json.loads(str(arrays["facts"]))
        rows = (arrays["error"], arrays["nll"], arrays["sure"])
    none = np.zeros(0)
    return Outcome(
        Config(**facts["config"]),
        tuple(Measured(**point) for point in facts["points"]),
        Score(**facts["train"], row_error=none, row_nll=none, row_sure=none),
        Score(**facts["val"], row_error=none, row_nll=none, row_sure=none),
        Score(**facts["test"], row_error=rows[0], row_nll=rows[1], row_sure=rows[2]),
        facts["seconds"],
    )


def _compare(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    differing = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if differing:
        raise StudyError(
            f"{folder} holds a study with other settings: "
            + "; ".join(f"{name} was {_short(old.get(name))}, now {_short(new.get(name))}" for name in differing)
            + ". Name another folder with --out, or remove this one."
        )


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
