"""A study from data to folder: split, search, train, judge, write."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset as TorchDataset

from .data.dataset import Dataset
from .data.overrule import TextForm, WantedColumn
from .deciding import with_network
from .error import StudyWarning
from .fault import faults_told
from .finish import finish, write_runs
from .keep.scratch import scratch_folder
from .options import StudyOptions, chapters_of
from .ray_cluster import connected_to_ray
from .record import Study
from .results import damaged
from .underway import Progress, TableReading, Underway


def run_study(
    data: str | Path | Dataset | TorchDataset[Any] | None = None,
    *,
    target: str | None = None,
    task: Any = None,
    groups: str | None = None,
    time: str | None = None,
    test: str | Path | None = None,
    out: str | Path = "thinned-study",
    seed: int = 0,
    seeds: int | None = None,
    ps: Sequence[float] | None = None,
    lrs: Sequence[float] | None = None,
    weight_decays: Sequence[float] | None = None,
    epochs: int | None = None,
    hidden: Sequence[int] | None = None,
    network: str | None = None,
    train_rows: int | None = None,
    metric: str | None = None,
    jobs: int = 1,
    budget: float | None = None,
    storage: str | None = None,
    ray: str | None = None,
    ray_cpus: float = 1.0,
    ray_gpus: float = 0.0,
    log: str | None = None,
    device: str | None = None,
    sep: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    columns: Mapping[str, str] | None = None,
    chapters: str | Sequence[str] | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Study:
    """Find out whether dropout helps on some data, at which p, and what to use.

    Every level (a p, a weight decay, both, inputs dropped as well) is trained until its validation loss falls no
    longer, at learning rates searched on validation rows, with the same effort for each.

    Arguments:
        data: a `.csv`, `.tsv`, `.parquet` or `.npz` file; a `.txt` file, whose next words are asked for; a folder of
            IDX images, of class folders of pictures or `.txt` files, or of a `.txt` file a class; a map-style torch
            `Dataset` with items `(x, y)`; or None for 5,000 MNIST digits.
        target: the column to predict.
        task: "classification" or "regression", if the target does not say.
        groups: a column whose equal values stay on one side of every split: patients, speakers, sites.
        time: a column to order rows by: the latest are the test rows, the latest before them validation rows.
        test: a file whose rows are the test set.
        out: the folder to write. If it holds a study of the same data and recipe, that goes on: nothing is trained
            twice, and seeds, rates and steps may be added.
        seed: decides every split, first weight, order and mask: the same seed gives the same numbers.
        seeds: how often each level is trained in the end, on other rows, weights and masks; at least 2. None means 20
            for tables, 5 for images, and 3 for networks other than a perceptron.
        ps: drop probabilities to try, in [0, 1). 0 is always among them. None means 0.02, 0.05, 0.1, 0.2, ... 0.5, and
            0.6 and 0.7 where 0.5 does best.
        lrs: learning rates to try, widened where the best is at an end; one alone is taken as given. None means what a
            range test proposes.
        weight_decays: strengths of the weight decay to try, alone and beside the best p.
        epochs: the most passes over the training rows; None means 1,000, and 12,700 steps. Training ends by itself
            before.
        hidden: units of each hidden layer; None means 128, 128 for tables and 256, 256 for images. Of a cnn, the maps
            of each block.
        network: "perceptron", "cnn" (pictures), "lstm", "gru" or "transformer" (texts). None means an LSTM for one long
            text, else a perceptron, which sees a text as a bag of words: minutes on two cores, where the others take a
            quarter of an hour and more. These are trained one by one, with fewer seeds, rates and steps.
        train_rows: how many rows to train on; None means 1,000 images, or 55 % of a table.
        metric: what decides, a name of `thinned.study.answer.metric.METRICS`; None means error, RMSE, or for one
            long text the perplexity.
        jobs: processes. The numbers do not depend on it. Above 1, a script needs `if __name__ == "__main__":`.
        budget: seconds after which the study ends with the best answer so far.
        storage: where the record of trials is kept, an address that Optuna takes; None means a file in `out`.
        ray: the Ray cluster whose nodes train, instead of processes here: "auto", or its head's host and port. The
            numbers are those of processes.
        ray_cpus, ray_gpus: of a node, for each unit that trains there: a fraction of one, or a whole number.
        log: "tensorboard" or "mlflow": every run of the main study is a run there as well, with its curve: in `out`, or
            on the server that MLFLOW_TRACKING_URI names.
        device: what trains, as torch names it: "cpu", "cuda", "cuda:1"; None or "auto" means a GPU for networks of a
            million weights or more where there is one, else the CPU. Rows, first weights and masks are the same on all;
            figures agree within what rounding makes of a training, so a folder belongs to one device.
        sep, encoding, decimal: how text files are written: the sign between fields, Python's name of the encoding,
            and "." or ",". None: found out.
        columns: what columns are, by name: "number", "level", "date", "date:%d/%m/%Y", "text" (its words are read) or
            "ignore". What is not here is
            decided by the values; `columns` of the result tells how.
        chapters: questions beside "how much" that are asked afterwards, on the same rows: names of
            `thinned.study.options.CHAPTERS`, "all" or "none"; None means how-much, where and convergence.
            `docs/guides/chapters.md` has each.
        watch: called as the study goes on.

    Returns what `study.json` in `out` holds; beside it lie `runs.csv`, `curves.csv`, `report.html`, and the networks
    for `load`.

    Warns (`StudyWarning`) of a record of the folder that is damaged: its runs are trained again.

    Raises:
        StudyError: data, options or a folder that can't be used, and nothing has been written. Or a disk, a permission
            or memory that gave out on the way: the message says what is kept, and the same call goes on from there.
        KeyboardInterrupt: Ctrl-C. What is finished is in `out`, and the same call goes on from there.
    """
    options = StudyOptions(
        target=target,
        task=task,
        groups=groups,
        time=time,
        test=None if test is None else Path(test),
        out=Path(out),
        seed=seed,
        seeds=seeds,
        ps=None if ps is None else tuple(map(float, ps)),
        lrs=None if lrs is None else tuple(map(float, lrs)),
        weight_decays=None if weight_decays is None else tuple(map(float, weight_decays)),
        epochs=epochs,
        hidden=None if hidden is None else tuple(hidden),
        network=network,
        train_rows=train_rows,
        metric=metric,
        jobs=jobs,
        budget=budget,
        storage=storage,
        ray=ray,
        ray_cpus=ray_cpus,
        ray_gpus=ray_gpus,
        log=log,
        device=device,
        form=TextForm(sep, encoding, decimal),
        columns=tuple(WantedColumn.of(f"{name}={kind}") for name, kind in (columns or {}).items()),
        chapters=chapters_of(chapters),
    )
    return study(data, options, watch)


def study(
    data: str | Path | Dataset | TorchDataset[Any] | None,
    options: StudyOptions,
    watch: Callable[[Progress], None],
    told: Callable[[TableReading], None] = lambda reading: None,
) -> Study:
    """`run_study` with its options in one. `told` is called once, when the data are read and nothing is trained."""
    options = with_network(data, options)
    processes = options.ray is None and (options.jobs > 1 or options.budget is not None)
    cluster = connected_to_ray(options.ray, options.ray_cpus, options.ray_gpus) if options.ray else nullcontext()
    with faults_told(options.out), cluster, scratch_folder() if processes else nullcontext() as scratch:
        underway = Underway(data, options, scratch, watch, told)
        try:
            for said in damaged(options.out):
                warnings.warn(said, StudyWarning, stacklevel=2)
            with underway.pool:
                whole = underway.search()
                return finish(underway, "" if whole else "budget")
        except KeyboardInterrupt:
            underway.recover()
            write_runs(underway)
            underway.say("stopped")
            raise
        finally:
            underway.journal.close()
