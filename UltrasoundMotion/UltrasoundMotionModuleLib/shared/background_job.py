"""Long work beside the application: a job of the child process that all modules share, polled by a timer on the main
thread.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Generator
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import UltrasoundMotionError
from UltrasoundMotionLib.jobs import JobCancelled, JobEvent, JobFailed, JobFinished, JobProcess, JobProgress, JobRequest

_POLL_MS = 40
_STEP_BUDGET_S = 0.015
"""Longest time that preparing may block the application at a time."""

Preparation = Generator[tuple[int, int, str], None, JobRequest]
"""Work on the scene before the job, cut into short steps: yields (done, total, message) and returns the request."""


class JobListener(Protocol):
    """Callbacks of a running job, on the main thread. Not called after `BackgroundJob.forget`."""

    def onProgress(self, progress: JobProgress) -> None:
        """Reports progress; `progress.job` is None while the job is prepared."""

    def onPartial(self, result: Any) -> None:
        """Gives the newest finished part of the result."""

    def onFinished(self, finished: JobFinished) -> None:
        """Gives the whole result."""

    def onFailed(self, failed: JobFailed) -> None:
        """Reports that the job ended without its result."""

    def onCancelled(self, cancelled: JobCancelled) -> None:
        """Reports that the job was cancelled; `cancelled.result` is the finished part, or None."""


class BackgroundJob:
    """One run: its preparation in short steps, then the job in the child process."""

    def __init__(self, preparation: Preparation | JobRequest, listener: JobListener, *, partials: bool = True) -> None:
        """A request that needs no preparation can be given as it is.

        Args:
            partials: False where the listener expects the results in progress of other runs, not of this one.
        """
        self._partials = partials
        self._preparation = _prepared(preparation) if isinstance(preparation, JobRequest) else preparation
        self._listener: JobListener | None = listener
        self.job: Any = None
        self.running = False
        self.startedAt = 0.0

    def start(self) -> None:
        """Starts the run and returns at once; the listener is called from the event loop."""
        self.running = True
        self.startedAt = time.perf_counter()
        sharedProcess().add(self)

    def cancel(self) -> None:
        """Asks the run to stop; the listener's `onCancelled` is called within a second."""
        if self.job is not None:
            sharedProcess().cancel(self)
        elif self.running:
            self._preparation.close()
            self._end(lambda listener: listener.onCancelled(JobCancelled(None, None)))

    def forget(self) -> None:
        """Cancels the run without another call of the listener, whose nodes are gone: the scene was closed, or the
        module reloaded.
        """
        self._listener = None
        self.cancel()

    # Called by the shared process

    def prepare(self) -> JobRequest | None:
        """Continues the preparation for a short while; returns the request when it is done, else None."""
        deadline = time.perf_counter() + _STEP_BUDGET_S
        try:
            while time.perf_counter() < deadline:
                progress = JobProgress(None, *next(self._preparation))
            self._notify(lambda listener: listener.onProgress(progress))
        except StopIteration as finished:
            return finished.value
        except UltrasoundMotionError as error:
            failed = JobFailed(None, str(error), "input")
            self._end(lambda listener: listener.onFailed(failed))
        return None

    def onEvent(self, event: Any) -> None:
        """Dispatches an event of the child process to the listener.

        The run fails where the listener cannot show a part of the result, as when its nodes were deleted.
        """
        try:
            self._dispatch(event)
        except Exception as error:
            logging.exception("a result in progress could not be shown")
            sharedProcess().cancel(self)
            failed = JobFailed(
                self.job, _("the result so far could not be shown: {error}").format(error=error), "unexpected"
            )
            self._end(lambda listener: listener.onFailed(failed))

    def _dispatch(self, event: Any) -> None:
        if isinstance(event, JobProgress):
            self._notify(lambda listener: listener.onProgress(event))
            partial = self.job.partial() if self._partials and self._listener is not None else None
            if partial is not None:
                self._notify(lambda listener: listener.onPartial(partial))
        elif isinstance(event, JobFinished):
            self._end(lambda listener: listener.onFinished(event))
        elif isinstance(event, JobFailed):
            self._end(lambda listener: listener.onFailed(event))
        elif isinstance(event, JobCancelled):
            self._end(lambda listener: listener.onCancelled(event))

    def _end(self, message: Callable[[JobListener], None]) -> None:
        self.running = False
        self._notify(message)
        self._listener = None

    def _notify(self, message: Callable[[JobListener], None]) -> None:
        if self._listener is not None:
            message(self._listener)


class SharedProcess:
    """The child process of all modules, kept running between jobs, and the timer that polls it during a run."""

    def __init__(self) -> None:
        self.process = JobProcess()
        self._preparing: list[BackgroundJob] = []
        self._running: dict[Any, BackgroundJob] = {}
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)
        slicer.app.connect("aboutToQuit()", closeSharedProcess)

    @property
    def busy(self) -> bool:
        """True while a job is prepared or running."""
        return bool(self._preparing or self._running)

    def add(self, background: BackgroundJob) -> None:
        """Prepares a run and then submits its job."""
        self._preparing.append(background)
        self._timer.start()

    def cancel(self, background: BackgroundJob) -> None:
        """Asks the child process to stop a run."""
        self.process.cancel(background.job)

    def close(self) -> None:
        """Ends the child process and everything it started."""
        for background in (*self._preparing, *self._running.values()):
            background._listener = None
        self._timer.stop()
        self._timer.disconnect("timeout()", self._poll)
        slicer.app.disconnect("aboutToQuit()", closeSharedProcess)
        self.process.close()

    def _poll(self) -> None:
        for background in list(self._preparing):
            request = background.prepare() if background.running else None
            if request is not None:
                background.job = self.process.submit(request)
                self._running[background.job] = background
            if request is not None or not background.running:
                self._preparing.remove(background)
        for event in _newest(self.process.poll()):
            background = self._running.get(event.job)
            if background is None:
                continue
            background.onEvent(event)
            if not background.running:
                del self._running[event.job]
        if not self.busy:
            self._timer.stop()


_shared: SharedProcess | None = None


def sharedProcess() -> SharedProcess:
    """Returns the application's shared process, made when it is first needed."""
    global _shared  # noqa: PLW0603  one child process for all modules is the point
    if _shared is None:
        _shared = SharedProcess()
    return _shared


def closeSharedProcess(*, onlyIdle: bool = False) -> None:
    """Ends the child process, or only an idle one; the next job starts another."""
    global _shared
    if _shared is None or (onlyIdle and _shared.busy):
        return
    closing, _shared = _shared, None
    closing.close()


def _newest(events: list[JobEvent]) -> list[JobEvent]:
    """Drops progress reports that are followed by a later event of the same job."""
    last = {event.job: event for event in events}
    return [event for event in events if not isinstance(event, JobProgress) or last[event.job] is event]


def _prepared(request: JobRequest) -> Preparation:
    yield from ()
    return request


def warmUp() -> None:
    """Starts the child process where torch is installed, so that it is ready when the first job comes."""
    if importlib.util.find_spec("torch") is not None:
        sharedProcess().process.start()
