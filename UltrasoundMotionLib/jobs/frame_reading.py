"""Frames that only their owner's thread may read (Slicer's nodes), a few at a time, so that an application stays alive
meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.errors import InputError, UltrasoundMotionError
from UltrasoundMotionLib.jobs.error_kinds import kind_of
from UltrasoundMotionLib.jobs.events import JobCancelled, JobFailed
from UltrasoundMotionLib.jobs.job import Job


class FrameReading:
    """The jobs whose frames are not in memory, and those that came after them.

    Everything is called on the thread that polls.
    """

    def __init__(self, hand_over: Callable[[Job], None]) -> None:
        """`hand_over` takes a job whose arrays are all in memory."""
        self._hand_over = hand_over
        self._jobs: deque[Job] = deque()
        self._read: dict[str, np.ndarray] = {}
        self._next = 0

    def add(self, job: Job) -> None:
        """Takes a job in; it is handed over at once where it is the first and has nothing to read."""
        self._jobs.append(job)
        self.advance(0.0)

    def advance(self, seconds: float) -> bool:
        """Reads for about so long; whether there is more."""
        until = time.monotonic() + seconds
        while self._jobs:
            job = self._jobs[0]
            try:
                done = job.cancel_asked.is_set() or self._advance(job, until)
            except Exception as error:
                own = isinstance(error, UltrasoundMotionError)
                kind, text = (
                    (kind_of(error), str(error))
                    if own
                    else ("unexpected", f"unexpected {type(error).__name__}: {error}")
                )
                self._drop_first()
                job.end(None, JobFailed(job, " ".join(text.split()), kind))
                continue
            if not done:
                return True
            read = self._read
            self._drop_first()
            if job.cancel_asked.is_set():
                job.end(None, JobCancelled(job))
            else:
                job.request = replace(job.request, arrays={**job.request.arrays, **read})
                self._hand_over(job)
        return False

    def cancel_all(self) -> None:
        """Ends every job that is still here."""
        for job in self._jobs:
            job.cancel_asked.set()
        self.advance(0.0)

    def _advance(self, job: Job, until: float) -> bool:
        """Reads frames of a job; whether all of them are in memory."""
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
