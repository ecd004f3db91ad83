"""A connection to a Ray cluster that is there already."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .error import StudyError, StudyWarning

PATIENCE = 5.0  # seconds for a head that does not answer; Ray itself would wait for two minutes
_HOW = "Start one with `ray start --head`, and give the command on one of its hosts with --ray auto, or HEAD:PORT."


@contextmanager
def connected_to_ray(address: str, cpus: float, gpus: float) -> Iterator[None]:
    """Within it Ray is connected; where the caller had connected it already, it stays so.

    Raises StudyError: no cluster is at the address.
    Warns (`StudyWarning`): no node has so many CPUs or GPUs.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    _answers(address)
    with _as_quiet_as_asked(ray), _signals_unchanged():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        except (Exception, SystemExit) as error:  # the latter where the cluster ends while Ray connects
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise StudyError(f"`--ray` must name a running cluster. Got {address!r}: {reason}. {_HOW}") from error
    try:
        _warn_of_too_few(ray, cpus, gpus)
        with _as_quiet_as_asked(ray):
            yield
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    """Raises StudyError: nothing answers at the address. Ray itself would try for minutes, and then end the process."""
    asked = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    if not asked or asked == "auto":
        return
    if asked == "local" or "://" in asked:
        raise StudyError(f"`--ray` must be auto, or the HOST:PORT of a running cluster's head. Got {asked!r}. {_HOW}")
    host, _, port = asked.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StudyError(f"`--ray` must name a running cluster. Got {asked!r}: {reason}. {_HOW}") from error


def _warn_of_too_few(ray: Any, cpus: float, gpus: float) -> None:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for option, name, wanted in (("--ray-cpus", "CPU", cpus), ("--ray-gpus", "GPU", gpus)):
        most = max((node.get(name, 0) for node in nodes), default=0)
        if wanted > most:
            warnings.warn(
                f"`{option}` is {wanted:g}, and no node has more than {most:g} now: trials wait until one joins.",
                StudyWarning,
                stacklevel=4,
            )


@contextmanager
def _as_quiet_as_asked(ray: Any) -> Iterator[None]:
    """Ray prints the log of a lost node to stdout, where answers go, and no option of its keeps it from that."""
    worker = ray._private.worker
    before = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before


@contextmanager
def _signals_unchanged() -> Iterator[None]:
    """Ray would answer SIGTERM itself, by the end of the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
