"""`thinned predict`: the networks of a study on new rows, and how sure they are of each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..plain_text import plain_text
from ..replaced_file import check_place, replace_file
from .predict_rows import rows_of
from .predict_text import scored
from .study import ENCODING, SEP
from .terminal import cell, give, say, told

if TYPE_CHECKING:
    import pandas as pd

    from ..study.data.overrule import TextForm
    from ..study.network.model import StudyModel, StudyRows
    from ..uncertainty.prediction import Prediction

FAILED = 2
SHOWN = 50  # rows of a table on a terminal; a file has all

EPILOG = """
Examples:

    thinned predict thinned-study new-patients.csv --out predicted.csv

    thinned predict thinned-study new.parquet --n 200 --format json > predicted.json

    thinned predict thinned-study new.csv --p 0.1        thinned networks where no dropout was best

    thinned predict thinned-study new-pictures           a folder of pictures or of .txt files, or one of them

    thinned predict book-study other-book.txt            how well each 100 words of a text are foretold
"""


class PredictFormat(StrEnum):
    csv = "csv"
    json = "json"
    text = "text"


def predict(
    model: Annotated[Path, typer.Argument(help="The folder of a finished study.", metavar="MODEL_DIR")],
    data: Annotated[
        Path,
        typer.Argument(
            help="The rows to predict: a .csv, .tsv, .parquet or .npz file, a folder of IDX images, a picture or .txt "
            "file, or a folder of them."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write. Without it: stdout.")] = None,
    n: Annotated[
        int, typer.Option("--n", min=1, help="How many thinned networks, spread over the seeds' networks.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")] = 0,
    p: Annotated[
        float | None, typer.Option("--p", help="Another drop probability after the hidden layers than the study chose.")
    ] = None,
    sep: Annotated[str | None, typer.Option("--sep", help=SEP)] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help=ENCODING)] = None,
    decimal: Annotated[
        str | None, typer.Option("--decimal", help="The file's decimal sign, . or ,. Default: as in training.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda|...", help="Where the networks answer; the numbers are the CPU's within rounding."
        ),
    ] = "cpu",
    format: Annotated[  # noqa: A002
        PredictFormat | None, typer.Option(help="csv or json; text, the default on a terminal, shows the first rows.")
    ] = None,
) -> None:
    """Predict rows with the networks of a study, and say how sure they are of each.

    One row for each row of the data, in their order; for pictures and .txt files with the file's name. Prediction,
    probabilities and interval are those of `thinned.study.load`: the mean of the seeds' networks, nothing dropped.

    For numbers, in the target's units: prediction; low95 and high95, between which a new value lies with 95 %
    probability, its noise included; spread, the standard deviation of the networks' answers, and their quantiles,
    network_q0.05 and so on. The networks agree where data were many, however noisy: their quantiles are no interval of
    a new value.

    For classes: the most probable one, its probability, the probability of each class, with the study's temperature,
    and the entropy of these, in nats; then how much the networks differ, before the temperature: mutual information,
    in nats, and variation ratio.

    The networks are those of the seeds, and where they drop units, n thinned ones.

    Of a study of one long text: for each 100 words of a .txt file the share of words that the networks do not know,
    the error, the NLL and the perplexity. Rows of a table with a column text: the word that follows.

    A column is read as it was in training, each row by itself.

    Exit code 2: no finished study, or data that can't be read or lack columns.
    """
    from ..study.data.overrule import TextForm
    from ..study.error import StudyError
    from ..study.networks.device import check_device

    try:
        form = TextForm(sep, encoding, decimal)
        if not data.exists():
            raise StudyError(f"{data}: there is no such file or folder. Pass a table or a folder of IDX images.")
        if out is not None:
            check_place(out)
        check_device(device)
        found = predicted(model, data, n=n, seed=seed, p=p, form=form, device=device)
        if out is not None:
            _write(found, out, format)
    except (StudyError, OSError) as error:
        say(f"thinned predict: {told(error)}", err=True)
        raise typer.Exit(FAILED) from None
    if out is None:
        _print(found, format)


def predicted(
    model: Path,
    data: Path,
    *,
    n: int,
    seed: int,
    p: float | None,
    form: TextForm | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """The table: one row for each row of the data."""
    import torch

    from ..study.error import StudyError
    from ..study.network.files import load
    from ..study.networks.named import drops as masked
    from ..study.networks.named import hidden_places
    from ..uncertainty.members import predict_members

    loaded = load(model, device)
    running = scored(loaded, data, p, form)
    if running is not None:
        return running
    frame, files = rows_of(loaded, data, form)
    if not len(frame.values):
        raise StudyError(f"{data}: there must be rows to predict. Got none.")
    drops = p is not None or any(masked(network) for network in loaded.networks)
    if not drops and len(loaded.networks) == 1:
        say(
            "thinned predict: one network without dropout can't differ from others: what networks disagree about is 0.",
            err=True,
        )
    try:
        networks = predict_members(
            loaded.networks,
            [torch.from_numpy(x).to(loaded.device) for x in loaded.inputs(frame)],
            n if drops else 0,
            seed=seed,
            task="classification" if loaded.classes else "regression",
            p=None if p is None else dict.fromkeys(hidden_places(loaded.networks[0]), p),
            units=None if loaded.classes else [(member.mean, member.scale) for member in loaded.members],
        )
    except ValueError as error:
        raise StudyError(str(error)) from None
    table = _classes(loaded, frame, networks) if loaded.classes else _numbers(loaded, frame, networks)
    if files:
        table.insert(0, "file", files)
    return table


def _numbers(loaded: StudyModel, frame: StudyRows, networks: Prediction) -> pd.DataFrame:
    import pandas as pd

    interval = loaded.predict_interval(frame)
    columns = {
        "prediction": loaded.predict(frame),
        "low95": interval[:, 0],
        "high95": interval[:, 1],
        "spread": networks.std.numpy(),
    }
    quantiles = zip(networks.levels, networks.quantiles.numpy(), strict=True)
    return pd.DataFrame(columns | {f"network_q{level:g}": values for level, values in quantiles})


def _classes(loaded: StudyModel, frame: StudyRows, networks: Prediction) -> pd.DataFrame:
    import numpy as np
    import pandas as pd
    from scipy.special import entr

    probability = loaded.predict_proba(frame)
    columns = {
        "prediction": np.array(loaded.classes)[probability.argmax(axis=1)],
        "probability": probability.max(axis=1),
        **{f"p_{name}": values for name, values in zip(loaded.classes, probability.T, strict=True)},
        "entropy": entr(probability).sum(axis=1),
        "mutual_information": networks.mutual_information.numpy(),
        "variation_ratio": networks.variation_ratio.numpy(),
    }
    return pd.DataFrame(columns)


def _write(found: pd.DataFrame, out: Path, format: PredictFormat | None) -> None:  # noqa: A002
    """To a file, whole or not at all."""
    by_name = PredictFormat.json if out.suffix == ".json" else PredictFormat.csv
    replace_file(out, _text(found, format or by_name).encode())
    say(f"{len(found):,} rows are in {out}.", err=True)


def _print(found: pd.DataFrame, format: PredictFormat | None) -> None:  # noqa: A002
    """To stdout: a table on a terminal."""
    console = Console()
    if console.is_terminal and format in (None, PredictFormat.text):
        console.print(_shown(found))
    else:
        give(_text(found, format or PredictFormat.csv), nl=False)


def _text(found: pd.DataFrame, format: PredictFormat) -> str:  # noqa: A002
    if format is PredictFormat.text:
        return plain_text(found.to_string(index=False)) + "\n"
    if format is PredictFormat.json:
        return f"{found.to_json(orient='records', indent=2, double_precision=15)}\n"
    text: str = found.to_csv(index=False)
    return text


def _shown(found: pd.DataFrame) -> Table:
    rest = len(found) - SHOWN
    table = Table(caption=f"and {rest:,} rows more: --out FILE takes all" if rest > 0 else None)
    for name in found.columns:
        table.add_column(cell(str(name).replace("_", " ")), justify="right")
    for row in found.head(SHOWN).itertuples(index=False):
        table.add_row(*(cell(f"{value:.4g}" if isinstance(value, float) else value) for value in row))
    return table
