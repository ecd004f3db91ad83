"""`thinned study` killed with SIGKILL, alone and with all its workers: the same command ends with the same numbers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.finished import OPTIONS, numbers

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.name == "nt", reason="kills a group of processes"),
]
# Without a report, which is half of a small study's time, and which nobody reads here.
MAIN = """
import thinned.study.report
from thinned.cli import main
if __name__ == "__main__":
    thinned.study.report.write = lambda folder: folder / "report.html"
    main()
"""


def begun(script: Path, rows: Path, out: Path, jobs: str) -> subprocess.Popen[str]:
    """The command, in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, script, "study", rows, *OPTIONS, "--jobs", jobs, "-o", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(script.parent)},
    )


def units(out: Path) -> int:
    """How many units of runs have their arrays on the disk, as a whole or not."""
    return len(list(out.glob("arrays/*")))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_in_the_midst_of_a_unit(rows: Path, finished: Path, tmp_path: Path, jobs: str) -> None:
    """At three moments: before the first unit is kept, after it, and after two more."""
    (script := tmp_path / "main.py").write_text(MAIN)
    out = tmp_path / "out"
    for kept in (0, 1, 3):
        process = begun(script, rows, out, jobs)
        until = time.monotonic() + 300
        while not ((out / "trials.db").exists() and units(out) >= kept):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (out / "study.json").exists()
    process = begun(script, rows, out, jobs)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert all(line.startswith(("[", "thinned study: ")) for line in said.splitlines()), said
    assert numbers(out) == numbers(finished)
    assert [path for path in tmp_path.iterdir() if path.name.startswith("thinned-study-")] == []
    shutil.rmtree(out)
