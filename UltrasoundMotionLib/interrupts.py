"""Requests to stop (Ctrl-C, SIGTERM, SIGHUP): raised as KeyboardInterrupt where that is safe, and never lost.

An exception that is raised while a native library is imported leaves the library half made, which ends in a wrong
message or a crash; one that is raised inside a callback of C code is printed and dropped. So an import is finished
first, or after a second the process ends at once; and a request that was dropped is raised again.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # as `typing` has it, whose import takes as long as all else here
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_LOOK_AGAIN_S = 0.03
_RAISE_AGAIN_S = 2.0
_LONGEST_IMPORT_S = 1.0

before_sudden_end: list[Callable[[], None]] = []
"""Functions that are called before the process ends in the middle of an import: they remove unfinished files."""


class _Request:
    """State of the process: the signal that asked to stop, and when it was last raised."""

    def __init__(self) -> None:
        self.installed = self.ending = self.owns_process = False
        self.forget()

    def forget(self) -> None:
        """Makes the next command of a program that runs several start afresh."""
        self.installed = False
        self.number: int | None = None
        self.asked_s = 0.0
        self.raised_s: float | None = None
        self.critical = 0
        self.watched = False


_request = _Request()


def requested() -> int | None:
    """Returns the number of the signal that asked this process to stop, or None."""
    return _request.number


def exit_code(number: int) -> int:
    """Returns the exit code of a process that stops on a signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


def raise_if_requested() -> None:
    """Raises KeyboardInterrupt if the process was asked to stop; called before a result gets its final name."""
    if _request.number is not None and not _request.critical:
        _request.raised_s = time.monotonic()
        raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Lets a short block, such as the removal of temporary files, end before a request to stop is raised."""
    _request.critical += 1
    try:
        yield
    finally:
        _request.critical -= 1


@contextmanager
def handled() -> Iterator[None]:
    """Turns signals into KeyboardInterrupt while the block runs; the innermost of nested calls does nothing.

    A signal that the process ignores (of a run in the background, or under nohup) stays ignored. Outside the main
    thread, and in a program that has a handler of its own for Ctrl-C, that program's handlers stay.
    """
    if _request.installed:
        yield
        return
    previous: dict[int, Any] = {}
    hook = sys.unraisablehook
    try:
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                previous[number] = signal.signal(number, _handle)
    except ValueError:  # not the main thread: the signals belong to whoever called
        yield
        return
    _request.installed = True
    sys.unraisablehook = lambda unraisable: (
        None if isinstance(unraisable.exc_value, KeyboardInterrupt) else hook(unraisable)
    )
    try:
        yield
    finally:
        if not _request.ending:
            sys.unraisablehook = hook
            for number, handler in previous.items():
                signal.signal(number, handler)
            _request.forget()


def run_process(command: Callable[[], int]) -> NoReturn:
    """Runs the command of a whole process and ends the process with its exit code, or that of a signal.

    The libraries' own cleaning up at the end of Python is left out: it takes seconds, and crashes where a library was
    interrupted half way.
    """
    with handled():
        _request.owns_process = True
        code = command()
        _request.ending = True
        if _request.number is None:
            atexit._run_exitfuncs()
        _exit(code if _request.number is None else exit_code(_request.number))


def _exit(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _handle(number: int, frame: FrameType | None) -> None:
    if _request.ending:
        os._exit(exit_code(number))
    now = time.monotonic()
    if _request.number is None:
        _request.number, _request.asked_s = number, now
    if not _request.watched:
        _request.watched = True
        _thread.start_new_thread(_watch, (_request.number,))
    if _request.critical:
        return
    if _imports(frame):
        if _request.owns_process and now - _request.asked_s > _LONGEST_IMPORT_S:
            _request.critical += 1
            for clean in before_sudden_end:
                clean()
            _exit(exit_code(_request.number))
        return
    _request.raised_s = now
    raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _watch(number: int) -> None:
    """Calls the handler again: soon while the request waits, later where the exception seems to have been dropped."""
    while _request.number == number and not _request.ending:
        time.sleep(_LOOK_AGAIN_S)
        raised = _request.raised_s
        if raised is None or time.monotonic() - raised > _RAISE_AGAIN_S:
            _thread.interrupt_main(signal.Signals(number))
