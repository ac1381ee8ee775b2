"""The child process: reads jobs from its standard input, runs them one after another, and tells how far they are."""

from __future__ import annotations

import faulthandler
import gc
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from UltrasoundMotionLib.errors import Cancelled, InputError, UltrasoundMotionError
from UltrasoundMotionLib.jobs.capability import load_capability
from UltrasoundMotionLib.jobs.error_kinds import kind_of
from UltrasoundMotionLib.jobs.messages import decode, encode, read_lines
from UltrasoundMotionLib.jobs.process_tree import WINDOWS, end_own_group, is_alive
from UltrasoundMotionLib.jobs.running_job import RunningJob, is_out_of_memory, run_on_device

LOOK_FOR_PARENT_EVERY_S = 0.5


class Child:
    """Serves one application until its end of the pipe closes."""

    def __init__(
        self, source: BinaryIO, sink: BinaryIO, *, parent: int | None = None, root: Path | None = None
    ) -> None:
        """Reads from `source`, writes to `sink`; ends with the process `parent`, and then removes the folder `root`."""
        self._source, self._sink, self._parent, self._root = source, sink, parent, root
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._current: RunningJob | None = None
        self._cancelled: set[int] = set()
        self._writing = threading.Lock()

    def serve(self) -> None:
        """Runs for ever; `leave` ends the process."""
        self.say(event="ready", pid=os.getpid())
        for work in (self._read, self._preload, *([self._watch_parent] if self._parent else [])):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()
        while True:
            self._run(self._jobs.get())

    def say(self, **message: Any) -> None:
        """Sends a line."""
        try:
            with self._writing:
                self._sink.write(encode(message))
                self._sink.flush()
        except OSError:
            self.leave()

    def leave(self) -> None:
        """Ends this process with everything it started; called when the application is gone."""
        if self._root:
            shutil.rmtree(self._root, ignore_errors=True)
        if self._parent:
            end_own_group()
        os._exit(0)

    def _read(self) -> None:
        for line in read_lines(self._source):
            try:
                self._obey(decode(line))
            except InputError as error:
                self.say(event="error", job=None, kind="input", message=str(error))
        self.leave()

    def _obey(self, message: dict[str, Any]) -> None:
        do, number = message.get("do"), message.get("job")
        if not isinstance(number, int):
            raise InputError(f"a message needs a job's number, got {number!r}")
        if do == "cancel":
            self._cancelled.add(number)
            current = self._current
            if current is not None and current.number == number:
                current.cancel_asked.set()
        elif do == "run":
            for name, kind in (("capability", str), ("folder", str), ("options", dict)):
                if not isinstance(message.get(name), kind):
                    raise InputError(f"job {number}: {name} must be a {kind.__name__}, got {message.get(name)!r}")
            self._jobs.put(message)
        else:
            raise InputError(f"job {number}: expected do to be run or cancel, got {do!r}")

    def _preload(self) -> None:
        """Loads what every job needs, so that the first is as quick as the others."""
        try:
            from UltrasoundMotionLib.jobs.capabilities.track import warm_up

            warm_up()
        except Exception:
            traceback.print_exc()  # the first job that needs it will say what is wrong
        self.say(event="warm")
        with suppress(Exception):  # said above
            from UltrasoundMotionLib.registration import available_methods

            available_methods()
            import UltrasoundMotionLib.registration.sequences.register_sequence  # noqa: F401

    def _watch_parent(self) -> None:
        """The pipe closes when the application dies, unless something else inherited its end: so it is looked for as
        well.
        """
        launcher = os.getppid()
        while is_alive(self._parent) and os.getppid() == launcher:
            time.sleep(LOOK_FOR_PARENT_EVERY_S)
        self.leave()

    def _run(self, message: dict[str, Any]) -> None:
        number = message["job"]
        job = RunningJob(number, Path(message["folder"]), message["options"], self.say)
        self._current = job
        if number in self._cancelled:
            job.cancel_asked.set()
        answer = _answer(job, message["capability"])
        self._current = None
        del job
        if WINDOWS:
            gc.collect()  # unmaps the arrays: Windows does not remove files that are mapped
        self.say(job=number, **answer)


def _answer(job: RunningJob, name: str) -> dict[str, Any]:
    """What became of the job."""
    try:
        if job.cancel_asked.is_set():
            return {"event": "cancelled", "found": None}
        found = run_on_device(load_capability(name), job)
        return {"event": "cancelled" if job.cancel_asked.is_set() else "result", "found": found, "notes": job.notes}
    except Cancelled:
        return {"event": "cancelled", "found": None}
    except UltrasoundMotionError as error:
        kind, text = kind_of(error), str(error)
    except ModuleNotFoundError as error:
        kind, text = "package", f"{error.name} is not installed for {sys.executable}"
    except BaseException as error:
        details = traceback.format_exc()
        text = " ".join(str(error).split())
        if is_out_of_memory(error):
            return {
                "event": "error",
                "kind": "memory",
                "message": f"the memory ran out: {text or type(error).__name__}",
                "details": details,
            }
        broken = "CUDA error" in text  # every later call in this process would fail: the application starts another
        text = f"unexpected {type(error).__name__}: {text}"
        return {"event": "error", "kind": "unexpected", "message": text, "details": details, "broken_gpu": broken}
    return {"event": "error", "kind": kind, "message": text}


def main(parent: int | None, root: Path | None) -> None:
    """Keeps the pipes for the messages alone: what libraries print goes to stderr, and what they read is empty."""
    faulthandler.enable(all_threads=False)  # the one that crashed
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    Child(os.fdopen(source, "rb"), os.fdopen(sink, "wb"), parent=parent, root=root).serve()
