"""The child process as the application sees it: its Python, its pipes and the threads that read from them."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import UltrasoundMotionLib
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.jobs import process_tree
from UltrasoundMotionLib.jobs.capability import added_capabilities
from UltrasoundMotionLib.jobs.messages import decode, encode, read_lines

LOG = logging.getLogger("UltrasoundMotionLib.jobs")
_KEPT_STDERR_LINES = 200
_READ_TO_END_S = 1.0
_FATAL = ("Fatal Python error", "Windows fatal exception")
"""The first words of Python's own report of a crash."""


class ChildProcess:
    """A running child process.

    The constructor starts it. `on_message(child, message)` and `on_end(child, status)` are called on its own threads.
    """

    def __init__(
        self,
        python: str,
        root: Path,
        on_message: Callable[[ChildProcess, dict[str, Any]], None],
        on_end: Callable[[ChildProcess, int], None],
    ) -> None:
        """Runs `python -m UltrasoundMotionLib.jobs`.

        Raises:
            InputError: `python` cannot be run.
            OutputError: the system cannot start another process.
        """
        argv = [python, "-m", "UltrasoundMotionLib.jobs", "--parent", str(os.getpid()), "--root", str(root)]
        argv += [part for name in added_capabilities() for part in ("--capability", name)]
        try:
            self._process = process_tree.start(argv, child_environment())
        except (FileNotFoundError, PermissionError) as error:
            raise InputError(f"{python}: cannot be run: {error.strerror or error}") from error
        except OSError as error:
            raise OutputError(f"{python}: no process can be started: {error.strerror or error}") from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        self.warm = threading.Event()
        self._on_message, self._on_end = on_message, on_end
        self._stderr_lines: deque[str] = deque(maxlen=_KEPT_STDERR_LINES)
        self._own_pid: int | None = None
        self._readers = [
            threading.Thread(target=work, daemon=True) for work in (self._read_messages, self._read_stderr)
        ]
        for thread in (*self._readers, threading.Thread(target=self._await_end, daemon=True)):
            thread.start()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process that was started and, where that is a launcher, the process that it launched."""
        return tuple({self._process.pid, self._own_pid or self._process.pid})

    @property
    def last_output(self) -> str:
        """The last lines that it wrote to stderr."""
        return "\n".join(self._stderr_lines)

    def send(self, **message: Any) -> None:
        """Sends a message. While the process is ending the message is lost, and `on_end` follows."""
        with suppress(OSError, ValueError):
            self._stdin.write(encode(message))
            self._stdin.flush()

    def kill(self) -> None:
        """Ends it and everything it started, at once."""
        process_tree.kill(self._process)

    def close(self) -> None:
        """Ends it and waits until it is gone."""
        self.kill()
        process_tree.wait(self._process)
        for pipe in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):
                pipe.close()

    def _read_messages(self) -> None:
        with suppress(OSError, ValueError):
            for line in read_lines(self._stdout):
                try:
                    message = decode(line)
                except InputError as error:
                    LOG.warning("the job's process sent something that is no message: %s", error)
                    continue
                if message.get("event") == "ready":
                    self._own_pid = message.get("pid")
                elif message.get("event") == "warm":
                    self.warm.set()
                else:
                    self._on_message(self, message)

    def _read_stderr(self) -> None:
        with suppress(OSError, ValueError):
            for line in read_lines(self._stderr):
                self._stderr_lines.append(line.decode("utf-8", errors="replace").rstrip())

    def _await_end(self) -> None:
        status = process_tree.wait(self._process)
        for thread in self._readers:
            thread.join(_READ_TO_END_S)
        self._on_end(self, status)


def describe_end(status: int, last_output: str) -> tuple[str, str]:
    """Returns (kind, message) for a process that ended during a job, with the line of its stderr that says why."""
    lines = [line.strip() for line in last_output.splitlines() if line.strip()]
    last = next((line for line in lines if line.startswith(_FATAL)), lines[-1] if lines else "")
    output = f"; its last output: {last}" if last else ""
    if status == -getattr(signal, "SIGKILL", 9):
        return "memory", f"the job's process was killed by the system, most likely because the memory ran out{output}"
    if status < 0:
        with suppress(ValueError):
            return "crash", f"the job's process crashed ({signal.Signals(-status).name}){output}"
    return "crash", f"the job's process ended unexpectedly with exit code {status}{output}"


def find_python() -> str:
    """Finds the Python for the child: this one or, where `sys.executable` is 3D Slicer itself, PythonSlicer beside it.

    Raises:
        InputError: none was found; give one with `python=`.
    """
    executable = Path(sys.executable or "")
    if executable.stem.lower().startswith(("python", "pypy")):
        return str(executable)
    name = "PythonSlicer" + (".exe" if os.name == "nt" else "")
    folders = [executable.parent]
    slicer = sys.modules.get("slicer")
    if home := getattr(getattr(slicer, "app", None), "slicerHome", None):
        folders.append(Path(home) / "bin")
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    if found := shutil.which(name):
        return found
    raise InputError(f"no Python was found beside {executable} to run jobs with; give JobProcess(python=...)")


def child_environment() -> dict[str, str]:
    """This process's environment, with this library first on the path and without the working folder."""
    environment = dict(os.environ)
    library = str(Path(UltrasoundMotionLib.__file__).resolve().parents[1])
    others = [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder and folder != library]
    environment["PYTHONPATH"] = os.pathsep.join([library, *others])
    environment["PYTHONSAFEPATH"] = "1"
    environment["PYTHONUTF8"] = "1"
    return environment
