"""A job: what is asked of the child process, and the handle to it once it was handed over."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from UltrasoundMotionLib.jobs.capability import load_capability
from UltrasoundMotionLib.jobs.events import JobEvent
from UltrasoundMotionLib.jobs.job_folder import JobFolder


@dataclass(frozen=True, eq=False)
class JobRequest:
    """What to do, made by a function of a capability's file (`track_request`, `registration_request` ...).

    Attributes:
        capability: the module that does it; see `Capability`.
        options: what fits in a line of JSON, `device` among it.
        arrays: what does not, by name; numpy arrays or `FrameSource`s. They must not change before the job has started.
        context: what the result needs and the child does not.
        command: the command line that repeats the run; empty where there is none.
    """

    capability: str
    options: Mapping[str, Any]
    arrays: Mapping[str, Any]
    context: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()


class Job:
    """A job that was handed over. It belongs to the `JobProcess` whose `submit` returned it.

    Attributes:
        number: counts the jobs of one process from 1.
        request: what is asked.
        folder: its data, None before it began.
        timeout_s: how long it may run, None for ever.
        cancel_asked: set by `JobProcess.cancel`.
    """

    def __init__(
        self, number: int, request: JobRequest, events: queue.Queue[JobEvent], timeout_s: float | None = None
    ) -> None:
        self.number = number
        self.request = request
        self.timeout_s = timeout_s
        self.cancel_asked = threading.Event()
        self._events = events
        self.folder: JobFolder | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._last: Any = None

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments of the command line `ultrasound-motion ...` that repeats the run; empty where there is none."""
        return self.request.command

    @property
    def ended(self) -> bool:
        """Whether it finished, failed or was cancelled."""
        with self._lock:
            return self._ended

    def partial(self) -> Any:
        """The newest finished part of the result, or None; after the end the last of it, or the result."""
        with self._lock:
            if self._ended or self.folder is None:
                return self._last
            return load_capability(self.request.capability).partial(self.request, self.folder)

    def begin(self, folder: JobFolder) -> None:
        """Called by the supervisor: its data are in a folder from now on."""
        with self._lock:
            self.folder = folder

    def tell(self, event: JobEvent) -> None:
        """Called by the supervisor: puts an event where the application looks for it."""
        self._events.put(event)

    def end(self, result: Any, event: JobEvent) -> None:
        """Called by the supervisor: keeps the result, or what there is of it, removes the folder and tells."""
        with self._lock:
            self._last = result
            if self.folder is not None:
                self.folder.remove()
            self.tell(event)
            self._ended = True
