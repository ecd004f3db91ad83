"""Facts and arrays as one archive that tells when a byte of it was changed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
_FACTS = "facts"  # no array has this name


def seal(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of a NumPy archive of the arrays, and of the facts as JSON with a digest of all."""
    written = json.dumps({**facts, "digest": _digest(facts, arrays)}).encode()
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{_FACTS: np.frombuffer(written, np.uint8)}, **arrays)
    return content.getvalue()


def unseal(content: bytes) -> tuple[dict[str, Any], Arrays]:
    """What `seal` got.

    Raises an Exception, of whatever kind a changed byte causes in zipfile, zlib, json and NumPy: the content is
    damaged. Its message says how.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    facts: dict[str, Any] = json.loads(arrays.pop(_FACTS).tobytes())
    if facts.pop("digest") != _digest(facts, arrays):
        raise ValueError("its values are others than were written")
    return facts, arrays


def _digest(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    parts = [json.dumps(facts, sort_keys=True).encode()]
    for name in sorted(arrays):
        parts += [name.encode(), str((arrays[name].dtype, arrays[name].shape)).encode(), arrays[name].tobytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
