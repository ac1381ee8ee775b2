"""`run_job`: a job as one call that waits for the result."""

from __future__ import annotations

import queue
from typing import Any

from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.jobs.child_process import LOG
from UltrasoundMotionLib.jobs.job import JobCancelled, JobEnd, JobEvent, JobFailed, JobProgress, JobRequest
from UltrasoundMotionLib.jobs.job_process import JobProcess
from UltrasoundMotionLib.jobs.messages import error_from_kind
from UltrasoundMotionLib.progress import Progress, no_progress

_POLL_INTERVAL_S = 0.1
_END_TIMEOUT_S = 5.0


def run_job(
    request: JobRequest,
    process: JobProcess | None = None,
    *,
    progress: Progress = no_progress,
    timeout_s: float | None = None,
    keep_partial: bool = False,
) -> Any:
    """Runs a job in the child process and waits for its result.

    Args:
        process: the process to run it in; a new one for this job alone when None.
        progress: called as the job advances; raising from it, or Ctrl-C, cancels the job.
        timeout_s: seconds after which the job is ended.
        keep_partial: when cancelled, return the finished part, where there is one, instead of raising.

    Returns:
        The result of the library's own call: `PointTracks`, `Registration`, `SequenceRegistration`.

    Raises:
        InputError, OutputError, MissingPackageError: raised by that call.
        Cancelled: the job was cancelled from elsewhere.
        ProcessError: the child process crashed, or ran out of memory or time.
    """
    if process is None:
        with JobProcess() as own:
            return run_job(request, own, progress=progress, timeout_s=timeout_s, keep_partial=keep_partial)
    events: queue.Queue[JobEvent] = queue.Queue()
    job = process.submit(request, timeout_s=timeout_s, events=events)
    try:
        event = _follow(process, events, progress)
    except BaseException:
        process.cancel(job)
        partial = _partial_after_cancel(process, events)
        if keep_partial and partial is not None:
            return partial
        raise
    if isinstance(event, JobFailed):
        raise error_from_kind(event.kind, event.message)
    if isinstance(event, JobCancelled):
        if keep_partial and event.result is not None:
            return event.result
        raise Cancelled("the job was cancelled")
    for note in event.notes:
        LOG.warning("%s", note)
    return event.result


def _follow(process: JobProcess, events: queue.Queue[JobEvent], progress: Progress) -> JobEnd:
    """Passes progress on until the job ends."""
    while True:
        try:
            # never without a timeout: on Windows, Ctrl-C would have to wait
            event = events.get(timeout=0.0 if process.read_frames(_POLL_INTERVAL_S) else _POLL_INTERVAL_S)
        except queue.Empty:
            continue
        if isinstance(event, JobEnd):
            return event
        if isinstance(event, JobProgress):
            progress(event.done, event.total, event.message)


def _partial_after_cancel(process: JobProcess, events: queue.Queue[JobEvent]) -> Any:
    """Waits for the end of a cancelled job and returns its finished part, or None."""
    process.read_frames(0.0)
    while True:
        try:
            event = events.get(timeout=_END_TIMEOUT_S)
        except queue.Empty:
            return None
        if isinstance(event, JobEnd):
            return None if isinstance(event, JobFailed) else event.result
