"""Files of facts and arrays that tell when a byte of them was changed."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...replaced_file import replace_file
from ..error import StudyWarning, writing

Arrays = dict[str, NDArray[Any]]
_FACTS = "facts"  # no array has this name


def write_sealed(path: Path, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a NumPy archive of the arrays, and of the facts as JSON with a digest of all. It is on the disk then.

    Raises StudyError: the file can't be written.
    """
    written = json.dumps({**facts, "digest": _digest(facts, arrays)}).encode()
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{_FACTS: np.frombuffer(written, np.uint8)}, **arrays)
    with writing(path.parent):
        path.parent.mkdir(exist_ok=True)
        replace_file(path, content.getvalue())


def read_sealed(path: Path, so: str) -> tuple[dict[str, Any], Arrays] | None:
    """What `write_sealed` got; None where there is no file, or a damaged one.

    Warns (`StudyWarning`) of a damaged file. `so` is what follows from it.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        facts: dict[str, Any] = json.loads(arrays.pop(_FACTS).tobytes())
        if facts.pop("digest") != _digest(facts, arrays):
            raise ValueError("its values are others than were written")
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever a changed byte can raise in zipfile, zlib, json and NumPy
        warnings.warn(f"{path} is damaged ({error or type(error).__name__}), so {so}.", StudyWarning, stacklevel=3)
        return None
    return facts, arrays


def _digest(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    parts = [json.dumps(facts, sort_keys=True).encode()]
    for name in sorted(arrays):
        parts += [name.encode(), str((arrays[name].dtype, arrays[name].shape)).encode(), arrays[name].tobytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
