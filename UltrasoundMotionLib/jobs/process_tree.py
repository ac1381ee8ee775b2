"""Processes that can be ended together with everything they started, on every system, by the standard library alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

WINDOWS = sys.platform == "win32"


def start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a process with pipes, in a process group of its own.

    The group is needed since Slicer's Python is a launcher, whose child must end with it.
    """
    pipe = subprocess.PIPE
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return subprocess.Popen(
            list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=dict(environment), creationflags=flags
        )
    return subprocess.Popen(
        list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=dict(environment), start_new_session=True
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process of `start` and everything it started; does nothing where it has ended."""
    if process.returncode is not None:
        return
    if WINDOWS:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        _kill_group(process.pid)
    with suppress(OSError):
        process.kill()


def wait(process: subprocess.Popen[bytes]) -> int:
    """Waits for a process, ends what it left running, and returns its exit status, negative for a signal."""
    if hasattr(os, "waitid"):  # until the process is reaped, its pid, which is also its group's, is not given again
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            _kill_group(process.pid)
    return process.wait()


def end_own_group() -> NoReturn:
    """Ends this process, which `start` started, with its launcher and everything it started itself."""
    if not WINDOWS:
        _kill_group(os.getpgrp())
    os._exit(0)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
