"""The application's side of a child process: jobs are submitted to it, and a timer polls their events."""

from __future__ import annotations

import atexit
import itertools
import queue
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.jobs.capability import add_capability
from UltrasoundMotionLib.jobs.frame_reader import FrameReader
from UltrasoundMotionLib.jobs.job import Job, JobEvent, JobRequest
from UltrasoundMotionLib.jobs.supervisor import Supervisor

_GRACE_S = 0.6
"""The time that a cancelled job has to end by itself; killing it fits in the rest of a second."""
_CLOSE_S = 5.0
_READ_S = 0.02
"""The time that one `poll` may spend on reading frames."""


class JobProcess:
    """A child process, started with the first job and kept for the next ones; jobs run one after another in the order
    of `submit`.

    All calls but `close` return at once; a timer of the application calls `poll` for the events. Frames that are no
    numpy array (Slicer's nodes, lazy readers) are read during `submit` and `poll`, 20 ms at a time, on the thread that
    calls them: call both from one thread. Use it in a `with` block or call `close`; otherwise it is closed at the end
    of the program.

        with JobProcess() as process:
            job = process.submit(track_job(sequence, points))
            while not job.ended:
                for event in process.poll(): ...
    """

    def __init__(
        self, python: str | None = None, *, folder: Path | str | None = None, capabilities: Sequence[str] = ()
    ) -> None:
        """Prepares a process; nothing is started yet.

        Args:
            python: the interpreter of the child; this one, or 3D Slicer's PythonSlicer, when None.
            folder: holds the jobs' data while they run; the system's temporary folder when None.
            capabilities: full names of modules outside of this package whose jobs may be run.
        """
        for name in capabilities:
            add_capability(name)
        self._python = python
        self._folder = None if folder is None else Path(folder)
        self._numbers = itertools.count(1)
        self._events: queue.Queue[JobEvent] = queue.Queue()
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._reader: FrameReader | None = None
        self._closed = False

    def start(self) -> None:
        """Starts the child, so that it is warm when the first job is submitted.

        Raises:
            InputError: the process was closed.
        """
        self._open_supervisor().start_child()

    def submit(
        self, request: JobRequest, *, timeout_s: float | None = None, events: queue.Queue[JobEvent] | None = None
    ) -> Job:
        """Submits a job.

        Args:
            timeout_s: seconds from its start after which it is ended and fails.
            events: receives this job's events instead of `poll`.

        Raises:
            InputError: the process was closed.
        """
        self._open_supervisor()
        assert self._reader is not None
        job = Job(next(self._numbers), request, self._events if events is None else events, timeout_s)
        self._reader.add(job)
        return job

    def poll(self) -> list[JobEvent]:
        """Returns the events since the last call, in order; never waits."""
        self.read_frames()
        events = []
        while True:
            try:
                events.append(self._events.get_nowait())
            except queue.Empty:
                return events

    def read_frames(self, seconds: float = _READ_S) -> bool:
        """Reads frames that are not in memory yet, as `poll` does. Returns True while there is more to read."""
        return self._reader is not None and self._reader.advance(seconds)

    def cancel(self, job: Job, *, grace_s: float = _GRACE_S) -> None:
        """Cancels a job: within a second `JobCancelled` follows, with the finished part. Ignores a job that has ended.

        Args:
            grace_s: seconds that the job has to end by itself, with its result so far, before its process is killed.
        """
        with self._lock:
            if self._supervisor is not None and not self._closed and not job.ended:
                self._supervisor.cancel(job, grace_s)

    def send(self, job: Job, content: Mapping[str, Any]) -> None:
        """Sends a message, which JSON can hold, to the `inbox` of a running job; dropped where it does not run."""
        with self._lock:
            if self._supervisor is not None and not self._closed and not job.ended:
                self._supervisor.send(job, content)

    def close(self) -> None:
        """Ends the child and every job, and removes all temporary folders, in about half a second.

        May be called again.
        """
        with self._lock:
            self._closed = True
            supervisor, self._supervisor, reader, self._reader = self._supervisor, None, self._reader, None
        if reader is not None:
            reader.cancel_all()
        if supervisor is not None:
            supervisor.close(_CLOSE_S)
            atexit.unregister(self.close)

    def __enter__(self) -> JobProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_warm(self) -> bool:
        """True once the child has loaded the libraries that jobs need."""
        child = None if self._supervisor is None else self._supervisor.child
        return child is not None and child.warm.is_set()

    @property
    def pids(self) -> tuple[int, ...]:
        """The child processes that run now."""
        child = None if self._supervisor is None else self._supervisor.child
        return () if child is None else child.pids

    def _open_supervisor(self) -> Supervisor:
        with self._lock:
            if self._closed:
                raise InputError("the job process was closed; make a new JobProcess")
            if self._supervisor is None:
                self._supervisor = Supervisor(self._python, self._folder)
                self._reader = FrameReader(self._supervisor.add)
                atexit.register(self.close)
            return self._supervisor
