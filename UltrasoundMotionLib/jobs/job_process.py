"""The application's side: hands jobs to a warm child process, and tells what becomes of them without ever waiting."""

from __future__ import annotations

import atexit
import itertools
import queue
import threading
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.jobs.events import JobEvent
from UltrasoundMotionLib.jobs.frame_reading import FrameReading
from UltrasoundMotionLib.jobs.job import Job, JobRequest
from UltrasoundMotionLib.jobs.supervisor import Supervisor

GRACE_S = 0.6
"""How long a cancelled job may take to end by itself; killing it fits in what is left of a second."""
CLOSE_S = 5.0
READ_S = 0.02
"""For how long one `poll` may read frames that only its thread may read."""


class JobProcess:
    """A child process, started with the first job and kept for the next ones; jobs run one after another in the order
    of `submit`.

    All calls but `close` return at once; `poll` gives what happened, for a timer of the application. Frames that are no
    numpy array (Slicer's nodes, lazy readers) are read during `submit` and `poll`, 20 ms at a time, on the thread that
    calls them: call both from one thread. Use it in a `with` block or call `close`; at the end of the program that is
    done for it.

        with JobProcess() as process:
            job = process.submit(track_request(sequence, points))
            while not job.ended:
                for event in process.poll(): ...
    """

    def __init__(self, python: str | None = None, *, folder: Path | str | None = None) -> None:
        """Starts nothing yet.

        Args:
            python: the interpreter of the child; this one, or 3D Slicer's PythonSlicer, when None.
            folder: where the jobs' data are kept while they run; the system's temporary folder when None.
        """
        self._python = python
        self._folder = None if folder is None else Path(folder)
        self._numbers = itertools.count(1)
        self._events: queue.Queue[JobEvent] = queue.Queue()
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._reading: FrameReading | None = None
        self._closed = False

    def start(self) -> None:
        """Starts the child, so that it is warm when the first job comes.

        Raises:
            InputError: the process was closed.
        """
        self._open_supervisor().start_child()

    def submit(
        self, request: JobRequest, *, timeout_s: float | None = None, events: queue.Queue[JobEvent] | None = None
    ) -> Job:
        """Hands a job over.

        Args:
            timeout_s: seconds from its start after which it is ended and fails.
            events: where this job's events go instead of to `poll`.

        Raises:
            InputError: the process was closed.
        """
        self._open_supervisor()
        job = Job(next(self._numbers), request, self._events if events is None else events, timeout_s)
        self._reading.add(job)
        return job

    def poll(self) -> list[JobEvent]:
        """What happened since the last call, in order; never waits."""
        self.read_frames()
        events = []
        while True:
            try:
                events.append(self._events.get_nowait())
            except queue.Empty:
                return events

    def read_frames(self, seconds: float = READ_S) -> bool:
        """Reads on where the frames of a job are not in memory yet, as `poll` does; whether there is more to read."""
        return self._reading is not None and self._reading.advance(seconds)

    def cancel(self, job: Job, *, grace_s: float = GRACE_S) -> None:
        """Ends a job: within a second `JobCancelled` comes with what was finished. Nothing happens where it has ended.

        Args:
            grace_s: how long it may take to end by itself, with its result so far, before its process is killed.
        """
        with self._lock:
            if self._supervisor is not None and not self._closed and not job.ended:
                self._supervisor.cancel(job, grace_s)

    def close(self) -> None:
        """Ends the child and every job, and removes all temporary folders; takes half a second as a rule.

        May be called again.
        """
        with self._lock:
            self._closed = True
            supervisor, self._supervisor, reading, self._reading = self._supervisor, None, self._reading, None
        if reading is not None:
            reading.cancel_all()
        if supervisor is not None:
            supervisor.close(CLOSE_S)
            atexit.unregister(self.close)

    def __enter__(self) -> JobProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_warm(self) -> bool:
        """Whether the child has loaded what jobs need."""
        child = self._supervisor and self._supervisor.child
        return child is not None and child.warm.is_set()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run for this one now."""
        child = self._supervisor and self._supervisor.child
        return () if child is None else child.pids

    def _open_supervisor(self) -> Supervisor:
        with self._lock:
            if self._closed:
                raise InputError("the job process was closed; make a new JobProcess")
            if self._supervisor is None:
                self._supervisor = Supervisor(self._python, self._folder)
                self._reading = FrameReading(self._supervisor.add)
                atexit.register(self.close)
            return self._supervisor
