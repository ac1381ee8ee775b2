"""The supervisor thread: starts jobs in the child process, turns its messages into events, and ends overdue jobs."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import Cancelled, UltrasoundMotionError
from UltrasoundMotionLib.jobs.capability import load_capability
from UltrasoundMotionLib.jobs.child_process import LOG, ChildProcess, describe_end, find_python
from UltrasoundMotionLib.jobs.job import Job, JobCancelled, JobEnd, JobFailed, JobFinished, JobProgress, JobStarted
from UltrasoundMotionLib.jobs.job_folder import JobFolder, make_root
from UltrasoundMotionLib.jobs.messages import error_kind


class Supervisor:
    """Owns the child process and the jobs.

    Its methods queue commands for the supervisor thread and return at once; `close` waits for the thread.
    """

    def __init__(self, python: str | None, folder: Path | None) -> None:
        """Starts the thread, but no child yet. Arguments as in `JobProcess`."""
        self._python, self._folder = python, folder
        self._root: Path | None = None
        self._child: ChildProcess | None = None
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._rate = _Rate()
        self._deadline: float | None = None
        self._deadline_reason = ""
        self._closed = False
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="UltrasoundMotion jobs", daemon=True)
        self._thread.start()

    @property
    def child(self) -> ChildProcess | None:
        """The child process that runs now."""
        return self._child

    def start_child(self) -> None:
        """Starts the child where none runs."""
        self._commands.put(self._warm_up)

    def add(self, job: Job) -> None:
        """Queues a job."""
        self._commands.put(partial(self._waiting.append, job))

    def cancel(self, job: Job, grace_s: float) -> None:
        """Cancels a job as `JobProcess.cancel` says."""
        job.cancel_asked.set()
        self._commands.put(partial(self._cancel, job, time.monotonic() + grace_s))

    def send(self, job: Job, content: Mapping[str, Any]) -> None:
        """Sends a message to a running job; dropped where it does not run."""
        self._commands.put(partial(self._send, job, dict(content)))

    def close(self, wait_s: float) -> None:
        """Ends the child, the jobs and the thread."""
        if current := self._current:
            current.cancel_asked.set()  # also ends the writing of its data
        self._commands.put(self._shut_down)
        if threading.current_thread() is not self._thread:
            self._thread.join(wait_s)

    def _run(self) -> None:
        while not self._closed:
            remaining = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            try:
                command = self._commands.get(timeout=remaining)
            except queue.Empty:
                command = self._on_deadline
            try:
                command()
                while self._current is None and self._waiting and not self._closed:
                    self._begin(self._waiting.popleft())
            except Exception as error:
                LOG.exception("supervising the job's process failed")
                self._drop_child()
                self._fail("unexpected", f"unexpected {type(error).__name__}: {error}")

    def _warm_up(self) -> None:
        try:
            self._ensure_child()
        except UltrasoundMotionError as error:
            LOG.warning("%s", error)  # the first job reports it to the user

    def _ensure_root(self) -> Path:
        """Returns the jobs' folder; where something removed it (a cleaner of temporary files), begins anew in another.

        The child of the folder that vanished is ended: it could write there no more.
        """
        if self._root is not None and not self._root.is_dir():
            LOG.warning("the folder %s of the jobs was removed; they go on in another", self._root)
            self._drop_child()
            self._root = None
        if self._root is None:
            self._root = make_root(self._folder)
        return self._root

    def _ensure_child(self) -> ChildProcess:
        root = self._ensure_root()
        if self._child is None:
            queue_command = self._commands.put
            self._child = ChildProcess(
                self._python or find_python(),
                root,
                lambda child, message: queue_command(partial(self._on_message, child, message)),
                lambda child, status: queue_command(partial(self._on_child_end, child, status)),
            )
        return self._child

    def _begin(self, job: Job) -> None:
        self._current, self._rate, self._deadline_reason = job, _Rate(), ""
        request = job.request
        try:
            if job.cancel_asked.is_set():
                raise Cancelled("cancelled before it began")
            child = self._ensure_child()
            folder = JobFolder.make(self._ensure_root() / f"job-{job.number}")
            job.begin(folder, lambda: load_capability(request.capability).partial(request, folder))
            for name, values in request.arrays.items():
                folder.write(name, values, job.cancel_asked.is_set)
        except Cancelled:
            self._end(None, JobCancelled(job))
        except UltrasoundMotionError as error:
            self._fail(error_kind(error), str(error))
        else:
            if job.timeout_s is not None:
                self._deadline, self._deadline_reason = time.monotonic() + job.timeout_s, "timeout"
            child.send(
                do="run", job=job.number, capability=request.capability, folder=folder.path, options=request.options
            )

    def _cancel(self, job: Job, deadline: float) -> None:
        if job is self._current:
            self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
            self._deadline_reason = "cancel"
            if self._child is not None:
                self._child.send(do="cancel", job=job.number)
        elif job in self._waiting:
            self._waiting.remove(job)
            job.end(None, JobCancelled(job))

    def _send(self, job: Job, content: dict[str, Any]) -> None:
        if job is self._current and self._child is not None:
            self._child.send(do="send", job=job.number, content=content)

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._child is not None:
            self._child.kill()  # `_on_child_end` follows

    def _on_message(self, child: ChildProcess, message: dict[str, Any]) -> None:
        if child is not self._child:
            return
        job, event = self._current, message.get("event")
        if job is None or message.get("job") != job.number:
            LOG.warning("the job's process sent %s: %s", event, message.get("message", message))
            return
        if message.get("broken_gpu"):
            self._drop_child()
        try:
            self._dispatch(job, event, message)
        except (KeyError, TypeError) as error:
            LOG.warning("the job's process sent an incomplete message: %s without %s", event, error)

    def _dispatch(self, job: Job, event: Any, message: dict[str, Any]) -> None:
        if event == "started":
            job.emit(JobStarted(job, message["device"]))
        elif event == "progress":
            done, total = message["done"], message["total"]
            rate, seconds_left = self._rate.update(done, total, message["seconds"])
            job.emit(JobProgress(job, done, total, message["message"], rate, seconds_left))
        elif event == "result":
            result = self._result(job, message["found"])
            self._end(result, JobFinished(job, result, tuple(message["notes"])))
        elif event == "cancelled":
            self._end_cancelled(job, message["found"])
        elif event == "error":
            self._fail(message["kind"], message["message"], message.get("details", ""))

    def _result(self, job: Job, found: Mapping[str, Any]) -> Any:
        assert job.folder is not None
        try:
            return load_capability(job.request.capability).result(job.request, job.folder, found)
        except (KeyError, TypeError) as error:
            raise RuntimeError(f"the result is incomplete: {error}") from error

    def _drop_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _end_cancelled(self, job: Job, found: Mapping[str, Any] | None) -> None:
        result = job.partial() if found is None else self._result(job, found)
        self._end(result, JobCancelled(job, result))

    def _on_child_end(self, child: ChildProcess, status: int) -> None:
        if child is not self._child:
            return
        self._child = None
        job, reason, output = self._current, self._deadline_reason, child.last_output
        if job is None:
            LOG.warning("%s", describe_end(status, output)[1])
        elif reason == "cancel":
            self._end_cancelled(job, None)
        elif reason == "timeout" and self._deadline is None:
            self._fail("timeout", f"stopped after {job.timeout_s:g} s, the time it was given", output)
        else:
            self._fail(*describe_end(status, output), output)
        if reason and not self._closed:
            self._warm_up()  # it was ended because of one job; the next one should not wait for torch

    def _fail(self, kind: str, message: str, child_output: str = "") -> None:
        if job := self._current:
            try:
                result = job.partial()
            except Exception as error:
                LOG.warning("the finished part of a failed job cannot be read: %s", error)
                result = None
            self._end(result, JobFailed(job, " ".join(message.split()), kind, child_output, result))

    def _end(self, result: Any, event: JobEnd) -> None:
        self._current = self._deadline = None
        event.job.end(result, event)

    def _shut_down(self) -> None:
        self._closed = True
        self._drop_child()
        if job := self._current:
            self._end_cancelled(job, None)
        for job in self._waiting:
            job.end(None, JobCancelled(job))
        self._waiting.clear()
        if self._root is not None:
            JobFolder(self._root).remove()


class _Rate:
    """Rate and time left of a job, from its progress reports.

    Starts again where the total changes or the count falls, as at the beginning of another stage.
    """

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, int] = (0, 0)

    def update(self, done: int, total: int, seconds: float) -> tuple[float | None, float | None]:
        """Takes a report and returns (items per second, seconds left), None before they are known.

        Args:
            seconds: time since the job began.
        """
        if self._first is None or total != self._last[1] or done < self._last[0]:
            self._first = (done, seconds)
        self._last = (done, total)
        first_done, first_seconds = self._first
        if done == first_done or seconds <= first_seconds:
            return None, None
        rate = (done - first_done) / (seconds - first_seconds)
        return rate, max(0, total - done) / rate
