"""Runs for MLflow: on the server that MLFLOW_TRACKING_URI names, or in a file of the study's folder."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..trial.outcome import Outcome
from .run_log import curve_of, figures_of, run_name, settings_of, unusable, without_account

DATABASE = "mlflow.db"
URI = "MLFLOW_TRACKING_URI"
MOST_METRICS = 1_000  # of one call


class MLflowLog:
    """One experiment a study.

    Arguments:
        name: the experiment's. No other study may have it.

    Raises StudyError: the server does not answer, or the file can't be written.
    """

    title = "MLflow"

    def __init__(self, folder: Path, name: str) -> None:
        from mlflow import MlflowClient  # late: an extra

        server = os.environ.get(URI, "")
        uri = server or f"sqlite:///{(folder / DATABASE).resolve()}"
        self._client: Any = MlflowClient(tracking_uri=uri)
        try:
            found = self._client.get_experiment_by_name(name)
            place = None if server else (folder / "mlflow-artifacts").resolve().as_uri()
            self._experiment = found.experiment_id if found else self._client.create_experiment(name, place)
        except Exception as error:
            raise unusable(f"MLflow at {without_account(uri)}", error) from error
        web = server.startswith(("http://", "https://"))
        self.link = f"{without_account(server).rstrip('/')}/#/experiments/{self._experiment}" if web else DATABASE
        self.where = self.link if web else f"mlflow ui --backend-store-uri {without_account(uri)}"

    def names(self) -> Collection[str]:
        found, token = [], None
        while True:
            page = self._client.search_runs([self._experiment], "attributes.status = 'FINISHED'", page_token=token)
            found += [run.info.run_name for run in page]
            token = page.token
            if not token:
                return found

    def write(self, outcome: Outcome) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1_000)
        points = [(tag, value, point.step) for point in outcome.curve for tag, value in curve_of(point).items()]
        points += [(tag, value, outcome.steps) for tag, value in figures_of(outcome).items()]
        settings = [Param(name, str(value)) for name, value in settings_of(outcome.config).items()]
        run = self._client.create_run(self._experiment, run_name=run_name(outcome)).info.run_id
        self._client.log_batch(run, params=settings)
        for first in range(0, len(points), MOST_METRICS):
            batch = [Metric(tag, value, now, step) for tag, value, step in points[first : first + MOST_METRICS]]
            self._client.log_batch(run, metrics=batch)
        self._client.set_terminated(run)  # finished: from here on it is there as a whole
