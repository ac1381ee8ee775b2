"""A job as a call that waits for its result."""

from __future__ import annotations

import queue
from typing import Any

from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.jobs.child_process import LOG
from UltrasoundMotionLib.jobs.error_kinds import error_of
from UltrasoundMotionLib.jobs.events import ENDS, JobCancelled, JobEvent, JobFailed, JobProgress
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_process import JobProcess
from UltrasoundMotionLib.progress import Progress, no_progress

LOOK_EVERY_S = 0.1
END_S = 5.0


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
        process: a warm one; one for this job alone when None.
        progress: called as the job advances; raising from it, or Ctrl-C, cancels the job.
        timeout_s: after which the job is ended.
        keep_partial: when cancelled, return what was finished, where there is something, rather than pass the exception
            on.

    Returns:
        What the library's own call returns: `PointTracks`, `Registration`, `SequenceRegistration`.

    Raises:
        InputError, OutputError, MissingPackageError: as that call.
        Cancelled: somebody else cancelled the job.
        ProcessError: its process crashed, or ran out of memory or time.
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
        end = _await_end(process, events)
        if keep_partial and end is not None and end.result is not None:
            return end.result
        raise
    if isinstance(event, JobFailed):
        raise error_of(event.kind, event.message)
    if isinstance(event, JobCancelled):
        if keep_partial and event.result is not None:
            return event.result
        raise Cancelled("the job was cancelled")
    for note in event.notes:
        LOG.warning("%s", note)
    return event.result


def _follow(process: JobProcess, events: queue.Queue[JobEvent], progress: Progress) -> JobEvent:
    while True:
        try:
            event = events.get(
                timeout=0.0 if process.read_frames(LOOK_EVERY_S) else LOOK_EVERY_S
            )  # a limit, or Ctrl-C would have to wait on Windows
        except queue.Empty:
            continue
        if isinstance(event, ENDS):
            return event
        if isinstance(event, JobProgress):
            progress(event.done, event.total, event.message)


def _await_end(process: JobProcess, events: queue.Queue[JobEvent]) -> Any:
    """The cancelled job's last event that has a result, or None."""
    process.read_frames(0.0)
    while True:
        try:
            event = events.get(timeout=END_S)
        except queue.Empty:
            return None
        if isinstance(event, ENDS):
            return None if isinstance(event, JobFailed) else event
