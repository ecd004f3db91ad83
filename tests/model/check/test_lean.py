"""Checking source imports neither torch nor the source."""

from __future__ import annotations

import subprocess
import sys

from .conftest import BAD, Write


def test_source_is_checked_without_torch_and_without_being_run(write: Write) -> None:
    write("src/net.py", f"raise SystemExit('it was run')\n{BAD}")
    script = (
        "import sys\n"
        "from thinned.cli import main\n"
        "sys.argv = ['thinned', 'check', 'src']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    print(end.code, *(sorted({'torch', 'net', 'pandas'} & {*sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1"
    assert "src/net.py:8:16: THN101" in done.stdout


def test_the_library_needs_no_extra_for_it(write: Write) -> None:
    write("net.py")
    script = (
        "import sys, thinned\n"
        "found = thinned.check('net.py')\n"
        "print(len(found), *({'torch', 'rich', 'typer', 'numpy'} & {*sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
