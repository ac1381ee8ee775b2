"""A job: the request, the handle that `JobProcess.submit` returns, and the events of its run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from UltrasoundMotionLib.jobs.job_folder import JobFolder


@dataclass(frozen=True, eq=False)
class JobRequest:
    """The work asked of the child process, made by a function of a capability's file (`track_job` and others).

    Attributes:
        capability: full name of the module that does the work; see `capability.Capability`.
        options: values that JSON can hold, `device` among them.
        arrays: large data by name: numpy arrays or `FrameSource`s. They must not change before the job has started.
        context: values that only `Capability.result` needs; they stay in the application's process.
        command: the command line that repeats the run; empty where there is none.
    """

    capability: str
    options: Mapping[str, Any]
    arrays: Mapping[str, Any]
    context: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()


class Job:
    """Handle of a submitted job. It belongs to the `JobProcess` whose `submit` returned it.

    Attributes:
        number: counts the jobs of one process from 1.
        request: the request that was submitted.
        folder: the folder with its arrays, None before the job has begun.
        timeout_s: the longest time that it may run, None without a limit.
        cancel_asked: set by `JobProcess.cancel`.
    """

    def __init__(
        self, number: int, request: JobRequest, events: queue.Queue[JobEvent], timeout_s: float | None = None
    ) -> None:
        self.number = number
        self.request = request
        self.timeout_s = timeout_s
        self.cancel_asked = threading.Event()
        self.folder: JobFolder | None = None
        self._events = events
        self._read_partial: Callable[[], Any] | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._last: Any = None

    @property
    def command(self) -> tuple[str, ...]:
        """The command line `ultrasound-motion ...` that repeats the run, as arguments; empty where there is none."""
        return self.request.command

    @property
    def ended(self) -> bool:
        """True once the job has finished, failed or been cancelled."""
        with self._lock:
            return self._ended

    def partial(self) -> Any:
        """Returns the part of the result that is finished by now, or None; after the end, the final result or part."""
        with self._lock:
            if self._ended or self._read_partial is None:
                return self._last
            return self._read_partial()

    def begin(self, folder: JobFolder, read_partial: Callable[[], Any]) -> None:
        """Stores the folder and the function that reads the finished part from it. Called by the supervisor."""
        with self._lock:
            self.folder, self._read_partial = folder, read_partial

    def emit(self, event: JobEvent) -> None:
        """Puts an event into the application's queue. Called by the supervisor."""
        self._events.put(event)

    def end(self, result: Any, event: JobEvent) -> None:
        """Keeps the result or its finished part, removes the folder and emits the event. Called by the supervisor."""
        with self._lock:
            self._last = result
            if self.folder is not None:
                self.folder.remove()
            self.emit(event)
            self._ended = True


@dataclass(frozen=True)
class JobStarted:
    """The job runs on `device` ("cpu", "cuda", "mps").

    Emitted a second time when the GPU's memory ran out and the job starts again on the CPU.
    """

    job: Job
    device: str


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job: `done` of `total` items.

    The rate and the time left are measured from the first report on, so that preparation does not count; None before
    they are known.
    """

    job: Job
    done: int
    total: int
    message: str
    items_per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class JobFinished:
    """The job has its whole result.

    Attributes:
        notes: what was done beyond the request (another device), one line each.
    """

    job: Job
    result: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobFailed:
    """The job ended with an error.

    Attributes:
        message: one line.
        kind: "input", "output", "package" (the library's own errors), "memory", "crash", "timeout" or "unexpected".
        child_output: the last lines that the child process wrote to stderr, or the traceback.
        partial: the finished part of the result, or None.
    """

    job: Job
    message: str
    kind: str
    child_output: str = ""
    partial: Any = None


@dataclass(frozen=True)
class JobCancelled:
    """The job was cancelled; `result` is the finished part, or None."""

    job: Job
    result: Any = None


JobEvent = JobStarted | JobProgress | JobFinished | JobFailed | JobCancelled
"""Any event of a job."""

JobEnd = JobFinished | JobFailed | JobCancelled
"""An event after which nothing more comes from a job."""
