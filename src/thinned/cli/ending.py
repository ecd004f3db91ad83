"""How a long command ends early: by a signal as by Ctrl-C, or with an answer that could not be printed."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended


class Ended:
    """The exit code of a command that was ended: 128 and the signal's number, as shells count."""

    code = INTERRUPTED


@contextmanager
def signals_as_interrupts() -> Iterator[Ended]:
    """Within it SIGTERM and SIGHUP raise KeyboardInterrupt, in the main thread. What is ignored stays ignored."""
    ended = Ended()

    def interrupt(number: int, _: FrameType | None) -> None:
        ended.code = 128 + number
        raise KeyboardInterrupt

    before: dict[int, object] = {}
    try:
        for number in SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                try:
                    before[number] = signal.signal(number, interrupt)
                except ValueError:  # not in the main thread: it is for whoever runs that
                    break
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def printed(show: Callable[[], None]) -> str:
    """Print by `show`, and answer with what kept it from being printed: "" for nothing.

    Where stdout is closed or full, what follows goes nowhere, so that Python's flush at the end does not fail again. A
    sign that stdout's encoding lacks is printed as its number.
    """
    if sys.stdout is None:
        return "stdout is closed"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        show()
        sys.stdout.flush()
    except (OSError, SystemExit) as error:  # rich ends a program whose reader has gone
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open to the end
        return getattr(error, "strerror", None) or "its reader has gone"
    return ""
