"""Long work beside the application: a job of the child process that all modules share, polled by a timer on the main
thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import UltrasoundMotionError
from UltrasoundMotionLib.jobs import (
    JobCancelled,
    JobEnd,
    JobEvent,
    JobFailed,
    JobFinished,
    JobProcess,
    JobProgress,
    JobRequest,
)
from UltrasoundMotionLib.steps import StepRunner, Steps

_POLL_MS = 40
_STEP_BUDGET_S = 0.015
"""Longest time that steps on the scene may block the application at a time."""

Preparation = Steps[JobRequest | JobFinished]
"""Work on the scene before the job; it returns the request, or a result where there is nothing to compute."""


class JobListener(Protocol):
    """Callbacks of a run, on the main thread. Not called after `BackgroundJob.forget`.

    Those that put something into the scene return the steps in which they do it.
    """

    def onProgress(self, progress: JobProgress) -> None:
        """Reports progress; `progress.job` is None while the scene is worked on."""

    def onPartial(self, result: Any) -> Steps[None]:
        """Gives the newest finished part of the result."""

    def onFinished(self, finished: JobFinished) -> Steps[None]:
        """Gives the whole result."""

    def onFailed(self, failed: JobFailed) -> Steps[None]:
        """Reports that the job ended without its result."""

    def onCancelled(self, cancelled: JobCancelled) -> Steps[None]:
        """Reports that the job was cancelled; `cancelled.result` is the finished part, or None."""


class BackgroundJob:
    """One run: its preparation in short steps, the job in the child process, and its result in short steps."""

    def __init__(
        self,
        preparation: Preparation | JobRequest,
        listener: JobListener,
        *,
        partials: bool = True,
        isChange: bool = False,
    ) -> None:
        """A request that needs no preparation can be given as it is.

        Args:
            partials: False where the listener does not show results in progress.
            isChange: True where the listener only changes the scene; another change may take its place.
        """
        self.isChange = isChange
        self._partials = partials
        self._preparation = _prepared(preparation) if isinstance(preparation, JobRequest) else preparation
        self._steps: StepRunner[Any] | None = StepRunner(self._preparation)
        self._onStepsFinished: Callable[[Any], None] = self._onPrepared
        self._onStepsFailed: Callable[[Exception], None] = self._onPreparationFailed
        self._end: JobEnd | None = None
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
        """Asks the run to stop. Within a second the listener's `onCancelled` is called; where the result is being shown
        already, its steps are cancelled.
        """
        if not self.running:
            return
        if self._end is None and self.job is not None:
            sharedProcess().cancel(self)
        elif self._end is None:
            self._steps.close()
            self._onEnd(JobCancelled(None, None))
        elif self._steps is not None:
            self._steps.cancel()

    def forget(self) -> None:
        """Ends the run without another call of the listener, whose nodes are gone: the scene was closed, or the module
        reloaded.
        """
        steps, self._steps = self._steps, None
        if self.running and self.job is not None and self._end is None:
            sharedProcess().cancel(self)
        self._close()
        if steps is not None:
            steps.close()

    # Called by the shared process

    @property
    def isStepping(self) -> bool:
        """True while there is work on the scene to go on with."""
        return self.running and self._steps is not None

    def advance(self) -> None:
        """Goes on with the work on the scene for a short while."""
        steps = self._steps
        try:
            progress = steps.advance(_STEP_BUDGET_S)
        except Exception as error:
            self._steps = None
            self._onStepsFailed(error)
            return
        if progress is not None:
            self._listener.onProgress(JobProgress(None, *progress))
        elif self._steps is steps:  # not forgotten meanwhile
            self._steps = None
            self._onStepsFinished(steps.result)

    def onEvent(self, event: JobEvent) -> None:
        """Takes an event of the child process."""
        if not self.running or self._end is not None:
            return
        if isinstance(event, JobEnd):
            self._onEnd(event)
        elif isinstance(event, JobProgress):
            self._listener.onProgress(event)
            partial = self.job.partial() if self._partials and self._steps is None else None
            if partial is not None:
                self._steps = StepRunner(self._listener.onPartial(partial))
                self._onStepsFinished, self._onStepsFailed = self._onPartialShown, self._onPartialFailed

    # The end of steps

    def _onPrepared(self, prepared: JobRequest | JobFinished) -> None:
        if isinstance(prepared, JobFinished):
            self._onEnd(prepared)
        else:
            self.job = sharedProcess().submit(self, prepared)

    def _onPreparationFailed(self, error: Exception) -> None:
        if not isinstance(error, UltrasoundMotionError):
            logging.exception("a run could not be prepared", exc_info=error)
        self._onEnd(JobFailed(None, str(error), "input"))

    def _onPartialShown(self, _nothing: None) -> None:
        if self._end is not None:
            self._showEnd()

    def _onPartialFailed(self, error: Exception) -> None:
        """Fails the run where the listener cannot show a part of the result, as when its nodes were deleted."""
        if not isinstance(error, UltrasoundMotionError):
            logging.exception("a result in progress could not be shown", exc_info=error)
        if self._end is None:
            sharedProcess().cancel(self)
        text = _("the result so far could not be shown: {error}").format(error=error)
        self._end = JobFailed(self.job, text, "unexpected")
        self._showEnd()

    def _onEnd(self, end: JobEnd) -> None:
        """Shows the end of the run, once the part in progress is shown."""
        self._end = end
        if self._steps is None or self._steps.finished:
            self._showEnd()

    def _showEnd(self) -> None:
        show = {
            JobFinished: self._listener.onFinished,
            JobFailed: self._listener.onFailed,
            JobCancelled: self._listener.onCancelled,
        }[type(self._end)]
        self._steps = StepRunner(show(self._end))
        self._onStepsFinished = self._onStepsFailed = self._close

    def _close(self, _outcome: object = None) -> None:
        """Ends the run; the listener has shown an error, if there was one."""
        self.running = False
        self._listener = None


class SharedProcess:
    """The child process of all modules, kept running between jobs, and the timer that polls it during a run."""

    def __init__(self) -> None:
        self.process = JobProcess()
        self._runs: list[BackgroundJob] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)
        slicer.app.connect("aboutToQuit()", closeSharedProcess)

    @property
    def busy(self) -> bool:
        """True while there is a run, until its result is shown."""
        return bool(self._runs)

    def add(self, background: BackgroundJob) -> None:
        """Takes care of a run until it has ended."""
        self._runs.append(background)
        self._timer.start()

    def submit(self, background: BackgroundJob, request: JobRequest) -> Any:
        """Gives the job of a run to the child process."""
        return self.process.submit(request)

    def cancel(self, background: BackgroundJob) -> None:
        """Asks the child process to stop a run."""
        self.process.cancel(background.job)

    def close(self) -> None:
        """Ends the child process and everything it started."""
        for background in self._runs:
            background.forget()
        self._timer.stop()
        self._timer.disconnect("timeout()", self._poll)
        slicer.app.disconnect("aboutToQuit()", closeSharedProcess)
        self.process.close()

    def _poll(self) -> None:
        events = _newest(self.process.poll())
        for background in list(self._runs):
            for event in events:
                if event.job is background.job:
                    background.onEvent(event)
        stepping = next((background for background in self._runs if background.isStepping), None)
        if stepping is not None:
            self._runs.remove(stepping)
            self._runs.append(stepping)  # one at a time, in turn
            stepping.advance()
        self._runs = [background for background in self._runs if background.running]
        stepping = any(background.isStepping for background in self._runs)
        self._timer.setInterval(0 if stepping else _POLL_MS)  # 0: as soon as the application has answered its user
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


def _prepared(request: JobRequest) -> Steps[JobRequest]:
    yield from ()
    return request


def nothingToCompute(result: Any) -> Preparation:
    """The preparation of a run that only shows something: the child process has nothing to do."""
    yield from ()
    return JobFinished(None, result)


def computedHere(steps: Steps[Any]) -> Preparation:
    """The preparation of a run whose result is computed in short steps on the scene, without the child process."""
    result = yield from steps
    return JobFinished(None, result)


def warmUp() -> None:
    """Starts the child process, so that it is ready when the first job comes."""
    sharedProcess().process.start()
