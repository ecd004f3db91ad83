"""The smallest study through the command line, and what it found, to be compared with what others find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thinned.study import load

OPTIONS = [
    "--target",
    "y",
    "--hidden",
    "4",
    "--epochs",
    "2",
    "--seeds",
    "2",
    "--p",
    "0.3",
    "--weight-decay",
    "0.5",
    "--lr",
    "0.01",
    "--chapters",
    "none",
]


def numbers(folder: Path) -> tuple[Any, bytes, list[float]]:
    """What a study found: its levels and its answer, every run, and what its networks predict."""
    found = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    answers = load(folder).predict_proba(pd.DataFrame({"a": [0.3, -2.0], "b": [1.0, 0.0]}))
    runs = pd.read_csv(folder / "runs.csv")
    timeless = runs[[name for name in runs.columns if "second" not in name]].to_csv().encode()
    return (found["headline"], [level["metric"] for level in found["levels"]]), timeless, np.ravel(answers).tolist()
