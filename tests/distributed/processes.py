"""Work in several processes that form one gloo group, each with a rank; every call starts them anew.

They are forked from a server that has imported torch once, so that four of them start in a fraction of a second.
"""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
import torch.distributed as dist

averages = pytest.mark.skipif(
    torch.__version__.startswith("2.8."),
    reason="torch 2.8's FSDP2 over gloo adds the ranks' gradients up and does not divide by their number",
)

T = TypeVar("T")

PATIENCE = 120.0  # seconds, for a machine that is busy with other things: a group that works needs about one
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    ["pytest", "thinned.nn", "torch.distributed.fsdp", "torch.distributed.tensor.parallel", "torch._dynamo.testing"]
)


def in_processes(world: int, work: Callable[..., T], *arguments: Any) -> list[T]:
    """What `work(*arguments)` returns in each of `world` processes, by rank.

    Every process starts as `torch.manual_seed(0)` leaves it. `work` is a module's function, its arguments and results
    can be pickled.

    Raises:
        AssertionError: one of them raised or died, with its traceback, or they took too long. The others are ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = [], []
        for rank in range(world):
            ours, theirs = _server.Pipe(duplex=False)
            job = (rank, world, str(Path(folder, "store")), theirs, pickle.dumps((work, arguments)))
            process = _server.Process(target=_serve, args=job, daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        try:
            return _collect(pipes)
        finally:
            for process in processes:
                process.terminate()
                process.join()


def _collect(pipes: list[Connection]) -> list[Any]:
    results: dict[int, Any] = {}
    deadline = time.monotonic() + PATIENCE
    while len(results) < len(pipes):
        waiting = [rank for rank in range(len(pipes)) if rank not in results]
        ready = wait([pipes[rank] for rank in waiting], timeout=max(0.0, deadline - time.monotonic()))
        assert ready, f"ranks {waiting} of {len(pipes)} gave no answer in {PATIENCE:g} s"
        for rank in waiting:
            if pipes[rank] in ready:
                try:
                    done, answer = pickle.loads(pipes[rank].recv_bytes())
                except EOFError:
                    done, answer = False, "the process died"
                assert done, f"rank {rank} of {len(pipes)}:\n{answer}"
                results[rank] = answer
    return [results[rank] for rank in range(len(pipes))]


def _serve(rank: int, world: int, store: str, pipe: Connection, job: bytes) -> None:
    torch.set_num_threads(1)
    try:
        work, arguments = pickle.loads(job)
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
        torch.manual_seed(0)
        answer = True, work(*arguments)
        dist.barrier()  # a rank that has left closes the connections that another may still be using
        dist.destroy_process_group()
    except BaseException:
        answer = False, traceback.format_exc()
    # Pickled here: multiprocessing's own pickler would hand tensors over in shared memory, which dies with the process.
    pipe.send_bytes(pickle.dumps(answer))
