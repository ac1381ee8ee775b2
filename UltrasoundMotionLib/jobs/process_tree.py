"""Starts a process so that it can be ended with everything it started, on every system, with the standard library
alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

WINDOWS = os.name == "nt"


def start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a process with pipes in a process group of its own: Slicer's Python is a launcher, and its child must end
    with it.
    """
    options = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        if WINDOWS
        else {"start_new_session": True}
    )
    pipe = subprocess.PIPE
    return subprocess.Popen(list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=dict(environment), **options)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process of `start` and everything it started; nothing where it ended before."""
    if process.returncode is not None:
        return
    if WINDOWS:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        _kill_group(process.pid)
    with suppress(OSError):
        process.kill()


def wait(process: subprocess.Popen[bytes]) -> int:
    """Waits for the end, and ends what the process left running; the exit status, negative for a signal."""
    if hasattr(
        os, "waitid"
    ):  # while the process is not yet collected its number, which is also its group's, belongs to nobody else
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            _kill_group(process.pid)
    return process.wait()


def end_own_group() -> None:
    """Ends this process, which `start` started, with its launcher and whatever it started itself."""
    if not WINDOWS:
        _kill_group(os.getpgrp())
    os._exit(0)


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs; on Linux one that ended and was not collected yet does not."""
    if WINDOWS:
        return _is_alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if sys.platform == "linux":
        with suppress(OSError, IndexError):
            return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in ("Z", "X")
    return True


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _is_alive_on_windows(pid: int) -> bool:
    import ctypes

    synchronize, timed_out = 0x00100000, 0x102
    kernel = ctypes.windll.kernel32
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    try:
        return kernel.WaitForSingleObject(handle, 0) == timed_out
    finally:
        kernel.CloseHandle(handle)
