"""A live session in a child process of its own, so that other runs go on beside it; polled by a timer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from UltrasoundMotionLib.jobs import (
    JobCancelled,
    JobFailed,
    JobFinished,
    JobProcess,
    JobProgress,
    JobRequest,
    LiveView,
    live_view,
)

_POLL_MS = 30
_STOP_GRACE_S = 10.0
"""Time that a recording has to be finished after Stop."""


class LiveRun:
    """Runs one session; the callbacks are called on the main thread, and not after `close`."""

    def __init__(self, onView: Callable[[LiveView], None], onNote: Callable[[str], None]) -> None:
        """Prepares the run.

        Args:
            onView: called with the newest state of the session.
            onNote: called with each line for the user.
        """
        self._onView, self._onNote = onView, onNote
        self._onEnd: Callable[[str], None] = lambda message: None
        self._process: JobProcess | None = None
        self._job: Any = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def running(self) -> bool:
        """True from `start` until the session has ended."""
        return self._job is not None

    def start(self, request: JobRequest, onEnd: Callable[[str], None]) -> None:
        """Starts a session and returns at once.

        Args:
            request: of `live_job`.
            onEnd: called with the reason, or an empty text, when it has ended.
        """
        if self._process is None:
            self._process = JobProcess()
            slicer.app.connect("aboutToQuit()", self.close)
        self._onEnd = onEnd
        self._job = self._process.submit(request)
        self._timer.start()

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message to the session, see `live_job`."""
        if self._job is not None:
            self._process.send(self._job, message)

    def stop(self) -> None:
        """Asks the session to end; its files are finished first."""
        if self._job is not None:
            self._process.cancel(self._job, grace_s=_STOP_GRACE_S)

    def close(self) -> None:
        """Ends the session and its process, in about half a second."""
        self._timer.stop()
        process, self._process, self._job = self._process, None, None
        if process is not None:
            slicer.app.disconnect("aboutToQuit()", self.close)
            process.close()

    def disconnect(self) -> None:
        """Ends everything, and the timer."""
        self.close()
        self._timer.disconnect("timeout()", self._poll)

    def _poll(self) -> None:
        newest: LiveView | None = None
        end: str | None = None
        for event in self._process.poll():
            if event.job is not self._job:
                continue
            if isinstance(event, JobProgress):
                newest = live_view(event)
                for note in newest.notes:
                    self._onNote(note)
            elif isinstance(event, JobFailed):
                end = event.message
            elif isinstance(event, JobCancelled | JobFinished):
                end = ""
        if newest is not None:
            self._onView(newest)
        if end is not None:
            self._timer.stop()
            self._job = None
            self._onEnd(end)
