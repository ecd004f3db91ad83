"""`thinned predict`: the network of a study on new rows, and how sure it is of each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from ..study.best import StudyModel

FAILED = 2
ROWS = 1024  # that are predicted at once
SHOWN = 50  # rows of a table on a terminal; a file has all

EPILOG = """
Examples:

    thinned predict thinned-study new-patients.csv --out predicted.csv

    thinned predict thinned-study new.parquet --n 200 --format json > predicted.json

    thinned predict thinned-study new.csv --p 0.1        for a network that was best without dropout
"""


class PredictFormat(StrEnum):
    csv = "csv"
    json = "json"
    text = "text"


def predict(
    model: Annotated[Path, typer.Argument(help="The folder of a finished study.", metavar="MODEL_DIR")],
    data: Annotated[
        Path, typer.Argument(help="A .csv, .parquet or .npz file, or a folder of IDX images: the rows to predict.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write. Without it: stdout.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many thinned networks.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")] = 0,
    p: Annotated[
        float | None, typer.Option("--p", help="Another drop probability after the hidden layers than the study chose.")
    ] = None,
    format: Annotated[  # noqa: A002
        PredictFormat | None, typer.Option(help="csv or json; text, the default on a terminal, shows the first rows.")
    ] = None,
) -> None:
    """Predict rows with the network of a study, and say how sure it is of each.

    One row for each row of the data, in their order. For classes: the most probable one, its probability (the mean over
    the thinned networks) with 5 %, 50 % and 95 % quantiles, predictive entropy, mutual information and variation ratio,
    in nats. For numbers: mean, standard deviation and quantiles over the thinned networks, in the target's units; the
    scatter of the data around the mean comes on top.

    Exit code 2: no finished study, data that can't be read or lack columns, or a network without dropout.
    """
    from ..study.dataset import StudyError

    try:
        found = predicted(model, data, n=n, seed=seed, p=p)
        _give(found, out, format)
    except (StudyError, OSError) as error:
        typer.echo(f"thinned predict: {error}", err=True)
        raise typer.Exit(FAILED) from None


def predicted(model: Path, data: Path, *, n: int, seed: int, p: float | None) -> pd.DataFrame:
    """The table: one row for each row of the data."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from ..study.best import load
    from ..study.dataset import StudyError
    from ..uncertainty.predict import predict

    loaded = load(model)
    if p is None and not any(getattr(module, "p", 0.0) for module in loaded.network.modules()):
        raise StudyError(
            f"the network in {model} has p = 0, so that nothing is random and it can't say how sure it is. Pass "
            "--p 0.1 to drop units all the same, though it was not trained for that."
        )
    rows = torch.from_numpy(loaded.preparation(_frame(data)))
    if not len(rows):
        raise StudyError(f"{data}: there must be rows to predict. Got none.")
    try:
        found = predict(
            loaded.network,
            DataLoader(TensorDataset(rows), batch_size=ROWS),
            n,
            seed=seed,
            task="classification" if loaded.classes else "regression",
            p=None if p is None else {"dropout.*": p},
        )
    except ValueError as error:
        raise StudyError(str(error)) from None
    return _table(loaded, found)


def _frame(data: Path) -> pd.DataFrame:
    from ..study.source import open_data
    from ..study.table import read

    return open_data(data).features if data.is_dir() else read(data)


def _table(loaded: StudyModel, found: object) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    from ..uncertainty.prediction import Prediction

    assert isinstance(found, Prediction)
    levels = [f"q{level:g}" for level in found.levels]
    if loaded.classes:
        label = found.label
        chosen = found.quantiles.gather(2, label.expand(len(levels), -1)[..., None]).squeeze(2)
        columns = {
            "prediction": np.array(loaded.classes)[label.numpy()],
            "probability": found.max_probability.numpy(),
            **dict(zip(levels, chosen.numpy(), strict=True)),
            "entropy": found.entropy.numpy(),
            "mutual_information": found.mutual_information.numpy(),
            "variation_ratio": found.variation_ratio.numpy(),
        }
    else:
        quantiles = found.quantiles.squeeze(2).double().numpy() * loaded.scale + loaded.mean
        columns = {
            "prediction": found.mean.squeeze(1).double().numpy() * loaded.scale + loaded.mean,
            "std": found.std.squeeze(1).double().numpy() * loaded.scale,
            **dict(zip(levels, quantiles, strict=True)),
        }
    return pd.DataFrame(columns)


def _give(found: pd.DataFrame, out: Path | None, format: PredictFormat | None) -> None:  # noqa: A002
    """To a file in one step, so that it is whole or not there; to stdout otherwise."""
    console = Console()
    if format is None:
        by_name = PredictFormat.json if out is not None and out.suffix == ".json" else PredictFormat.csv
        format = PredictFormat.text if out is None and console.is_terminal else by_name  # noqa: A001
    if format is PredictFormat.text and out is None and console.is_terminal:
        console.print(_shown(found))
        return
    if format is PredictFormat.text:
        text = found.to_string(index=False) + "\n"
    elif format is PredictFormat.json:
        text = found.to_json(orient="records", indent=2, double_precision=15) + "\n"
    else:
        text = found.to_csv(index=False)
    if out is None:
        typer.echo(text, nl=False)
        return
    from ..replaced_file import replace_file

    replace_file(out, text.encode())
    typer.echo(f"{len(found):,} rows are in {out}.", err=True)


def _shown(found: pd.DataFrame) -> Table:
    rest = len(found) - SHOWN
    table = Table(caption=f"and {rest:,} rows more: --out FILE takes all" if rest > 0 else None)
    for name in found.columns:
        table.add_column(str(name).replace("_", " "), justify="right")
    for row in found.head(SHOWN).itertuples(index=False):
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    return table
