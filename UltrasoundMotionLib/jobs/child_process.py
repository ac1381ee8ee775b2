"""The running child process with the threads that read from it."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.jobs import process_tree
from UltrasoundMotionLib.jobs.messages import decode, encode, read_lines
from UltrasoundMotionLib.jobs.python_executable import child_environment

LOG = logging.getLogger("UltrasoundMotionLib.jobs")
KEPT_LINES = 200
LAST_WORDS_S = 1.0
FATAL = ("Fatal Python error", "Windows fatal exception")
"""What Python says of a crash, before it says where."""


class ChildProcess:
    """Started when made. `on_message(child, message)` and `on_end(child, status)` are called on threads of its own."""

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
            OutputError: the system has no room for another process.
        """
        argv = [python, "-m", "UltrasoundMotionLib.jobs", "--parent", str(os.getpid()), "--root", str(root)]
        try:
            self._process = process_tree.start(argv, child_environment())
        except (FileNotFoundError, PermissionError) as error:
            raise InputError(f"{python}: cannot be run: {error.strerror or error}") from error
        except OSError as error:
            raise OutputError(f"{python}: no process can be started: {error.strerror or error}") from error
        self.warm = threading.Event()
        self._on_message, self._on_end = on_message, on_end
        self._words: deque[str] = deque(maxlen=KEPT_LINES)
        self._own_pid: int | None = None
        self._readers = [threading.Thread(target=work, daemon=True) for work in (self._read_messages, self._read_words)]
        for thread in (*self._readers, threading.Thread(target=self._await_end, daemon=True)):
            thread.start()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process that was started and, where that is a launcher, the one that works."""
        return tuple({self._process.pid, self._own_pid or self._process.pid})

    @property
    def words(self) -> str:
        """The last lines that came on its stderr."""
        return "\n".join(self._words)

    def send(self, **message: Any) -> None:
        """Sends a line; one that does not arrive since the process is ending is lost, and `on_end` comes."""
        with suppress(OSError, ValueError):
            self._process.stdin.write(encode(message))
            self._process.stdin.flush()

    def kill(self) -> None:
        """Ends it and everything it started, at once."""
        process_tree.kill(self._process)

    def close(self) -> None:
        """Ends it and waits until it is gone."""
        self.kill()
        process_tree.wait(self._process)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                pipe.close()

    def _read_messages(self) -> None:
        with suppress(OSError, ValueError):
            for line in read_lines(self._process.stdout):
                try:
                    message = decode(line)
                except InputError as error:
                    LOG.warning("the job's process said something else than a message: %s", error)
                    continue
                if message.get("event") == "ready":
                    self._own_pid = message.get("pid")
                elif message.get("event") == "warm":
                    self.warm.set()
                else:
                    self._on_message(self, message)

    def _read_words(self) -> None:
        with suppress(OSError, ValueError):
            for line in read_lines(self._process.stderr):
                self._words.append(line.decode("utf-8", errors="replace").rstrip())

    def _await_end(self) -> None:
        status = process_tree.wait(self._process)
        for thread in self._readers:
            thread.join(LAST_WORDS_S)
        self._on_end(self, status)


def describe_end(status: int, words: str) -> tuple[str, str]:
    """(kind, message) of a process that ended in the midst of a job, with its own last words."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    last = next((line for line in lines if line.startswith(FATAL)), lines[-1] if lines else "")
    said = f"; its last words: {last}" if last else ""
    if status == -getattr(signal, "SIGKILL", 9):
        return "memory", f"the job's process was killed by the system, most likely because the memory ran out{said}"
    if status < 0:
        with suppress(ValueError):
            return "crash", f"the job's process crashed ({signal.Signals(-status).name}){said}"
    return "crash", f"the job's process ended unexpectedly with exit code {status}{said}"
