"""Reads lazy frames on the thread that owns them (Slicer's nodes), a few at a time, so the application stays alive."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.errors import InputError, UltrasoundMotionError
from UltrasoundMotionLib.jobs.job import Job, JobCancelled, JobFailed
from UltrasoundMotionLib.jobs.messages import error_kind


class FrameReader:
    """The jobs whose frames are not in memory yet, and the jobs submitted after them.

    All methods are called on the thread that polls.
    """

    def __init__(self, on_read: Callable[[Job], None]) -> None:
        """`on_read` receives each job once all its arrays are in memory, in the order of `add`."""
        self._on_read = on_read
        self._jobs: deque[Job] = deque()
        self._read: dict[str, np.ndarray] = {}
        self._next = 0

    def add(self, job: Job) -> None:
        """Queues a job; it is passed on at once where it is the first and has nothing to read."""
        self._jobs.append(job)
        self.advance(0.0)

    def advance(self, seconds: float) -> bool:
        """Reads for about this long. Returns True while there is more to read."""
        until = time.monotonic() + seconds
        while self._jobs:
            job = self._jobs[0]
            try:
                done = job.cancel_asked.is_set() or self._read_frames(job, until)
            except Exception as error:
                own = isinstance(error, UltrasoundMotionError)
                text = str(error) if own else f"unexpected {type(error).__name__}: {error}"
                self._drop_first()
                job.end(None, JobFailed(job, " ".join(text.split()), error_kind(error)))
                continue
            if not done:
                return True
            read = self._read
            self._drop_first()
            if job.cancel_asked.is_set():
                job.end(None, JobCancelled(job))
            else:
                job.request = replace(job.request, arrays={**job.request.arrays, **read})
                self._on_read(job)
        return False

    def cancel_all(self) -> None:
        """Cancels every job that has not been passed on."""
        for job in self._jobs:
            job.cancel_asked.set()
        self.advance(0.0)

    def _read_frames(self, job: Job, until: float) -> bool:
        """Reads frames of a job until a time; returns True once all of them are in memory."""
        for name, source in job.request.arrays.items():
            if isinstance(source, np.ndarray) or getattr(source, "in_memory", False):
                continue
            frames = self._read.get(name)
            if frames is None:
                frames = self._read[name] = np.empty(tuple(source.shape), source.dtype)
                self._next = 0
            while self._next < len(frames):
                if time.monotonic() >= until:
                    return False
                frame = np.asarray(source[self._next])
                if frame.shape != frames.shape[1:]:
                    raise InputError(f"{name}: frame {self._next} has shape {frame.shape}, expected {frames.shape[1:]}")
                frames[self._next] = frame
                self._next += 1
        return True

    def _drop_first(self) -> None:
        self._jobs.popleft()
        self._read, self._next = {}, 0
