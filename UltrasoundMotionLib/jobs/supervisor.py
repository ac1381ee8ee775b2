"""The thread that looks after the child process: begins jobs, passes on what the child says, and ends what takes too
long.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import Cancelled, UltrasoundMotionError
from UltrasoundMotionLib.jobs.capability import load_capability
from UltrasoundMotionLib.jobs.child_process import LOG, ChildProcess, describe_end
from UltrasoundMotionLib.jobs.error_kinds import kind_of
from UltrasoundMotionLib.jobs.events import JobCancelled, JobFailed, JobFinished, JobProgress, JobStarted
from UltrasoundMotionLib.jobs.job import Job
from UltrasoundMotionLib.jobs.job_folder import JobFolder, make_root
from UltrasoundMotionLib.jobs.python_executable import find_python
from UltrasoundMotionLib.jobs.rate import Rate


class Supervisor:
    """Owns the child process and the jobs.

    Its methods only leave word; all the work is done on its thread, one thing after another.
    """

    def __init__(self, python: str | None, folder: Path | None) -> None:
        """Arguments as `JobProcess`; the thread starts, the child does not yet."""
        self._python, self._folder = python, folder
        self._root: Path | None = None
        self._child: ChildProcess | None = None
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._rate = Rate()
        self._deadline: float | None = None
        self._stopped_for = ""
        self._over = False
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="UltrasoundMotion jobs", daemon=True)
        self._thread.start()

    @property
    def child(self) -> ChildProcess | None:
        """The child process that runs now."""
        return self._child

    def start_child(self) -> None:
        """Starts the child where none runs."""
        self._inbox.put(self._warm_up)

    def add(self, job: Job) -> None:
        """Takes a job in."""
        self._inbox.put(partial(self._waiting.append, job))

    def cancel(self, job: Job, grace_s: float) -> None:
        """Ends a job; see `JobProcess.cancel`."""
        job.cancel_asked.set()
        self._inbox.put(partial(self._cancel, job, time.monotonic() + grace_s))

    def close(self, wait_s: float) -> None:
        """Ends everything."""
        if current := self._current:
            current.cancel_asked.set()  # also ends the writing of its data
        self._inbox.put(self._shut_down)
        if threading.current_thread() is not self._thread:
            self._thread.join(wait_s)

    def _work(self) -> None:
        while not self._over:
            try:
                action = self._inbox.get(
                    timeout=None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
                )
            except queue.Empty:
                action = self._time_is_up
            try:
                action()
                while self._current is None and self._waiting and not self._over:
                    self._begin(self._waiting.popleft())
            except Exception as error:
                LOG.exception("looking after the job's process failed")
                self._drop_child()
                self._fail("unexpected", f"unexpected {type(error).__name__}: {error}")

    def _warm_up(self) -> None:
        try:
            self._ensure_child()
        except UltrasoundMotionError as error:
            LOG.warning("%s", error)  # the first job will say it to the user

    def _ensure_child(self) -> ChildProcess:
        if self._root is None:
            self._root = make_root(self._folder)
        if self._child is None:
            leave_word = self._inbox.put
            self._child = ChildProcess(
                self._python or find_python(),
                self._root,
                lambda child, message: leave_word(partial(self._heard, child, message)),
                lambda child, status: leave_word(partial(self._child_ended, child, status)),
            )
        return self._child

    def _begin(self, job: Job) -> None:
        self._current, self._rate, self._stopped_for = job, Rate(), ""
        request = job.request
        try:
            if job.cancel_asked.is_set():
                raise Cancelled("cancelled before it began")
            child = self._ensure_child()
            folder = JobFolder.make(self._root / f"job-{job.number}")
            job.begin(folder)
            for name, values in request.arrays.items():
                folder.write(name, values, job.cancel_asked.is_set)
        except Cancelled:
            self._end(None, JobCancelled(job))
        except UltrasoundMotionError as error:
            self._fail(kind_of(error), str(error))
        else:
            if job.timeout_s is not None:
                self._deadline, self._stopped_for = time.monotonic() + job.timeout_s, "timeout"
            child.send(
                do="run", job=job.number, capability=request.capability, folder=folder.path, options=request.options
            )

    def _cancel(self, job: Job, deadline: float) -> None:
        if job is self._current:
            self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
            self._stopped_for = "cancel"
            self._child.send(do="cancel", job=job.number)
        elif job in self._waiting:
            self._waiting.remove(job)
            job.end(None, JobCancelled(job))

    def _time_is_up(self) -> None:
        self._deadline = None
        self._child.kill()  # `_child_ended` says the rest

    def _heard(self, child: ChildProcess, message: dict[str, Any]) -> None:
        if child is not self._child:
            return
        job, event = self._current, message.get("event")
        if job is None or message.get("job") != job.number:
            LOG.warning("the job's process said %s: %s", event, message.get("message", message))
            return
        if message.get("broken_gpu"):
            self._drop_child()
        try:
            self._understand(job, event, message)
        except (KeyError, TypeError) as error:
            LOG.warning("the job's process sent a message that is not whole: %s without %s", event, error)

    def _understand(self, job: Job, event: str, message: dict[str, Any]) -> None:
        if event == "started":
            job.tell(JobStarted(job, message["device"]))
        elif event == "progress":
            done, total = message["done"], message["total"]
            job.tell(
                JobProgress(job, done, total, message["message"], *self._rate.report(done, total, message["seconds"]))
            )
        elif event == "result":
            result = self._result(job, message["found"])
            self._end(result, JobFinished(job, result, tuple(message["notes"])))
        elif event == "cancelled":
            self._end_cancelled(job, message["found"])
        elif event == "error":
            self._fail(message["kind"], message["message"], message.get("details", ""))

    def _result(self, job: Job, found: dict[str, Any]) -> Any:
        try:
            return load_capability(job.request.capability).result(job.request, job.folder, found)
        except (KeyError, TypeError) as error:
            raise RuntimeError(f"the result is not whole: {error}") from error

    def _drop_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _end_cancelled(self, job: Job, found: dict[str, Any] | None) -> None:
        result = job.partial() if found is None else self._result(job, found)
        self._end(result, JobCancelled(job, result))

    def _child_ended(self, child: ChildProcess, status: int) -> None:
        if child is not self._child:
            return
        self._child = None
        job, reason = self._current, self._stopped_for
        if job is None:
            LOG.warning("%s", describe_end(status, child.words)[1])
        elif reason == "cancel":
            self._end_cancelled(job, None)
        elif reason == "timeout" and self._deadline is None:
            self._fail("timeout", f"stopped after {job.timeout_s:g} s, the time it was given", child.words)
        else:
            self._fail(*describe_end(status, child.words), child.words)
        if reason and not self._over:
            self._warm_up()  # it was ended for one job's sake; the next one should not wait for torch

    def _fail(self, kind: str, message: str, child_output: str = "") -> None:
        if job := self._current:
            try:
                result = job.partial()
            except Exception as error:
                LOG.warning("what was finished of a job that failed cannot be read: %s", error)
                result = None
            self._end(result, JobFailed(job, " ".join(message.split()), kind, child_output, result))

    def _end(self, result: Any, event: Any) -> None:
        job, self._current, self._deadline = self._current, None, None
        job.end(result, event)

    def _shut_down(self) -> None:
        self._over = True
        self._drop_child()
        if job := self._current:
            self._end_cancelled(job, None)
        for job in self._waiting:
            job.end(None, JobCancelled(job))
        self._waiting.clear()
        if self._root is not None:
            JobFolder(self._root).remove()
