"""Which study a folder belongs to: `journal.json` says its name, where its trials are, and with which settings."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...regular_file import irregular
from ...replaced_file import replace_file
from ..error import StudyError
from .arrays import FOLDER
from .lock import LOCK

IDENTITY = "journal.json"
FORMAT = 2
_OLDER = Path("journal", "settings.json")  # format 1: a file a trial
HERE = "trials.db"
BEGUN = {LOCK, HERE, f"{HERE}-journal"}  # all there is where a study was ended before it had written who it is


class DamagedIdentityError(StudyError):
    """`journal.json` is missing or damaged in a folder that has a record of trials."""


@dataclass(frozen=True)
class StudyIdentity:
    """A study's name in its database, the database (without password), and the settings that decide every number.

    `id` is this study's alone. Each of its trials has it, so that a study begun anew in the same folder is another.
    """

    name: str
    id: str
    storage: str
    settings: dict[str, Any]

    @classmethod
    def new(cls, folder: Path, storage: str, settings: dict[str, Any]) -> StudyIdentity:
        """A name for a new study. On a server, where others have studies too, no two are alike.

        A folder's name and a digest of the settings make it recognisable. A random part makes it this folder's own:
        trials without the arrays that lie here are of no use to anybody else.
        """
        own = folder.resolve().name
        if storage != HERE:
            digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
            own = f"{own[:200]}-{digest}-{secrets.token_hex(3)}"
        return cls(own, secrets.token_hex(8), storage, settings)

    def write(self, folder: Path) -> None:
        replace_file(folder / IDENTITY, (json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n").encode())

    def check(self, folder: Path, storage: str, settings: dict[str, Any]) -> None:
        """Raises StudyError: other settings, or another database."""
        old = self.settings
        differing = [name for name in sorted(old.keys() | settings.keys()) if old.get(name) != settings.get(name)]
        if differing:
            raise StudyError(
                f"{folder} holds a study with other settings: "
                + "; ".join(
                    f"{name} was {_short(old.get(name))}, now {_short(settings.get(name))}" for name in differing
                )
                + ". Name another folder with --out, or remove this one."
            )
        if storage != self.storage:
            again = "Leave --storage out" if self.storage == HERE else f"Pass --storage {self.storage}"
            raise StudyError(
                f"{folder}: `--storage` must be where this study's trials are: {self.storage}. Got {storage}. {again}, "
                "or name another folder with --out."
            )


def found_in(folder: Path) -> StudyIdentity | None:
    """The study that a folder belongs to; None for a folder that is new or empty.

    Raises StudyError: the folder is a file, holds something else, a file that is not regular, or a study of an older
    version. DamagedIdentityError: which study it is can't be read.
    """
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"{folder}: `--out` must be a folder. This is a file. Name another with --out.")
    path, known = folder / IDENTITY, (folder / HERE).is_file() and (folder / FOLDER).is_dir()
    if path.is_file() or known:
        _only_regular(folder)
    if path.is_file():
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            if facts.pop("format") != FORMAT:
                raise StudyError(
                    f"{folder} holds a study of another version of thinned, which cannot go on here. Name another "
                    "folder with --out, or remove this one."
                )
            found = StudyIdentity(**facts)
            if not all(isinstance(value, str) for value in (found.name, found.id, found.storage)):
                raise TypeError("its name, id and storage must be text")
            if not isinstance(found.settings, dict):
                raise TypeError("its settings must be a table")
            return found
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, StudyError):
                raise
            raise DamagedIdentityError(
                f"{path} is damaged: {error}. Name another folder with --out, or remove {folder}."
            ) from error
    if (folder / _OLDER).is_file():
        raise StudyError(
            f"{folder} holds a study of an older version of thinned, which trained by other rules and cannot go on. "
            "Name another folder with --out, or remove this one."
        )
    if folder.is_dir() and any(item.name not in BEGUN for item in folder.iterdir()):
        raise (DamagedIdentityError if known else StudyError)(
            f"{folder}: `--out` must be a new or empty folder, or an earlier study's. Name another with --out."
        )
    return None


def _only_regular(folder: Path) -> None:
    """Raises StudyError: a file that is not regular, such as a FIFO, which to write would be to wait for its reader."""
    for path, kind in irregular(folder):
        raise StudyError(
            f"{path}: in a study's folder every file must be a regular one. This is {kind}. Remove it, or name another "
            "folder with --out."
        )


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
