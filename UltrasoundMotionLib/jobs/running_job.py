"""A job inside the child process: the object that a capability's `run` receives."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.jobs.job_folder import JobFolder

_REPORT_INTERVAL_S = 0.05


class RunningJob:
    """A job inside the child process.

    Attributes:
        number: the number of the application's `Job`.
        options: the options of the request.
        folder: holds the arrays of the request and receives those of the result.
        notes: what was done beyond the request, one line each; `run` may append to it.
        cancel_asked: set when the application cancels the job.
        inbox: messages that the application sends with `JobProcess.send` while the job runs.
    """

    def __init__(self, number: int, folder: Path, options: Mapping[str, Any], send: Callable[..., None]) -> None:
        """`send` writes a message, given as keyword arguments, to the application."""
        self.number = number
        self.folder = JobFolder(folder)
        self.options = options
        self.notes: list[str] = []
        self.cancel_asked = threading.Event()
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._send = send
        self._started_at = time.monotonic()
        self._next_report = 0.0

    def started(self, device: str) -> None:
        """Reports that the work starts on `device`."""
        self._send(event="started", job=self.number, device=device)

    def progress(self, done: int, total: int, message: str) -> None:
        """Reports progress, at most twenty times a second; a `Progress` callback.

        Raises:
            Cancelled: the application asked to cancel.
        """
        now = time.monotonic()
        if now >= self._next_report or done == total:
            self._next_report = now + _REPORT_INTERVAL_S
            seconds = now - self._started_at
            self._send(event="progress", job=self.number, done=done, total=total, message=message, seconds=seconds)
        if self.cancel_asked.is_set():
            raise Cancelled(f"cancelled after {done} of {total}")
