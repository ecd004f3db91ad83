"""How a command ends early: by a signal as by Ctrl-C, or with an answer that could not be printed."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
UNPRINTED = 2  # as for every other thing that could not be done
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


@contextmanager
def said_if_unprinted() -> Iterator[None]:
    """Within it a full or closed stdout is a sentence on stderr and exit code 2, whatever the command would end with.

    A reader that has gone is no error, as in `thinned rules | head -1`.
    """
    ended: BaseException | None = None
    if sys.stdout is None:
        sys.stdout = _Closed()
    try:
        yield
    except (OSError, SystemExit) as error:
        ended = error
    probe = "\n" if isinstance(ended, OSError) else ""  # what failed to be written is no more there to be flushed
    why, where = _unwritten(sys.stdout, probe), "stdout"
    if not why and probe:
        why, where = _unwritten(sys.stderr, probe), "stderr"
    if not why:
        if ended is not None:
            raise ended
        return
    lost = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open to the end
    if where == "stdout":
        sys.stdout = lost
        _write_last(f"thinned: the answer could not be printed: {why}.\n")
    else:
        sys.stderr = lost
    raise SystemExit(UNPRINTED) from None


class _Closed(io.TextIOBase):
    """In the place of a stdout that the caller has closed, so that what is lost is noticed."""

    lost = False

    def write(self, text: str) -> int:
        self.lost = self.lost or bool(text)
        self.flush()
        return 0

    def flush(self) -> None:
        if self.lost:
            raise OSError(errno.EBADF, "stdout is closed")


def _unwritten(stream: TextIO | _Closed | None, probe: str) -> str:
    """What keeps a stream from being written to its end: "" for nothing."""
    try:
        if stream is not None:
            if probe:
                stream.write(probe)
            stream.flush()
    except BrokenPipeError:
        return ""
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _write_last(text: str) -> None:
    """Write to stderr, if there is one that takes it."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
