"""The child process: reads jobs from its standard input, runs them one after another, and reports their progress."""

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
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from UltrasoundMotionLib.errors import Cancelled, InputError, UltrasoundMotionError
from UltrasoundMotionLib.jobs.capability import Capability, load_capability
from UltrasoundMotionLib.jobs.messages import decode, encode, error_kind, read_lines
from UltrasoundMotionLib.jobs.process_tree import WINDOWS, end_own_group
from UltrasoundMotionLib.jobs.running_job import RunningJob
from UltrasoundMotionLib.process_state import is_alive
from UltrasoundMotionLib.pytorch import has_pytorch, needs_pytorch

_PARENT_CHECK_INTERVAL_S = 0.5
_IDLE_BEFORE_PRELOAD_S = 0.1  # a child that was started for a job gets it sooner


def main(parent: int | None, root: Path | None) -> None:
    """Serves the application on this process's pipes until it closes them; never returns.

    The pipes carry messages alone: what libraries print goes to stderr, and what they read is empty.

    Args:
        parent: the application's process; this one ends with it.
        root: a folder to remove when the application is gone.
    """
    faulthandler.enable(all_threads=False)  # the traceback of the crashed thread is enough
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _Child(os.fdopen(source, "rb"), os.fdopen(sink, "wb"), parent=parent, root=root).serve()


class _Child:
    """Serves one application until it closes its end of the pipe."""

    def __init__(self, source: BinaryIO, sink: BinaryIO, *, parent: int | None, root: Path | None) -> None:
        self._source, self._sink, self._parent, self._root = source, sink, parent, root
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._current: RunningJob | None = None
        self._cancelled: set[int] = set()
        self._write_lock = threading.Lock()

    def serve(self) -> NoReturn:
        """Runs jobs until `_exit` ends the process."""
        self._send(event="ready", pid=os.getpid())
        for work in (self._read_messages, *([self._watch_parent] if self._parent else [])):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()
        idle_s: float | None = _IDLE_BEFORE_PRELOAD_S
        while True:
            try:
                self._run(self._jobs.get(timeout=idle_s))
            except queue.Empty:
                idle_s = None
                self._preload()

    def _send(self, **message: Any) -> None:
        try:
            with self._write_lock:
                self._sink.write(encode(message))
                self._sink.flush()
        except OSError:
            self._exit()

    def _exit(self) -> NoReturn:
        """Ends this process with everything it started; called when the application is gone."""
        if self._root:
            shutil.rmtree(self._root, ignore_errors=True)
        if self._parent:
            end_own_group()
        os._exit(0)

    def _read_messages(self) -> None:
        for line in read_lines(self._source):
            try:
                self._dispatch(decode(line))
            except InputError as error:
                self._send(event="error", job=None, kind="input", message=str(error))
        self._exit()

    def _dispatch(self, message: dict[str, Any]) -> None:
        do, number = message.get("do"), message.get("job")
        if not isinstance(number, int):
            raise InputError(f"a message needs a job's number, got {number!r}")
        if do == "cancel":
            self._cancelled.add(number)
            current = self._current
            if current is not None and current.number == number:
                current.cancel_asked.set()
        elif do == "send":
            current = self._current
            if current is not None and current.number == number and isinstance(message.get("content"), dict):
                current.inbox.put(message["content"])
        elif do == "run":
            for name, kind in (("capability", str), ("folder", str), ("options", dict)):
                if not isinstance(message.get(name), kind):
                    raise InputError(f"job {number}: {name} must be a {kind.__name__}, got {message.get(name)!r}")
            self._jobs.put(message)
        else:
            raise InputError(f"job {number}: expected do to be run, send or cancel, got {do!r}")

    def _preload(self) -> None:
        """Imports the libraries that every job needs, so that the first job is as quick as the others.

        On the thread that runs the jobs: of two threads that import the same packages, one can be given a module that
        the other has only begun.
        """
        try:
            from UltrasoundMotionLib.jobs.capabilities.track import warm_up

            warm_up()
        except Exception:
            traceback.print_exc()  # the first job that needs it reports the error
        self._send(event="warm")
        if not self._jobs.empty():
            return  # the job imports what it needs
        with suppress(Exception):  # reported above
            from UltrasoundMotionLib.registration.registry import available_methods

            available_methods()
            if not has_pytorch():
                return
            import UltrasoundMotionLib.registration.methods.instance.velocity
            import UltrasoundMotionLib.registration.register_images
            import UltrasoundMotionLib.registration.sequences.register_sequence  # noqa: F401

    def _watch_parent(self) -> None:
        """Exits when the application dies: another process that inherited its end of the pipe may keep that open."""
        assert self._parent is not None
        launcher = os.getppid()
        while is_alive(self._parent) and os.getppid() == launcher:
            time.sleep(_PARENT_CHECK_INTERVAL_S)
        self._exit()

    def _run(self, message: dict[str, Any]) -> None:
        number = message["job"]
        job = RunningJob(number, Path(message["folder"]), _JobOptions(message["options"]), self._send)
        self._current = job
        if number in self._cancelled:
            job.cancel_asked.set()
        outcome = _outcome(job, message["capability"])
        self._current = None
        del job
        if WINDOWS:
            gc.collect()  # unmaps the arrays: Windows does not remove files that are mapped
        self._send(job=number, **outcome)


def _outcome(job: RunningJob, capability: str) -> dict[str, Any]:
    """Runs the job and returns the message with its result, its cancellation or its error."""
    try:
        if job.cancel_asked.is_set():
            return {"event": "cancelled", "found": None}
        found = run_on_device(load_capability(capability), job)
        return {"event": "cancelled" if job.cancel_asked.is_set() else "result", "found": found, "notes": job.notes}
    except Cancelled:
        return {"event": "cancelled", "found": None}
    except UltrasoundMotionError as error:
        kind, text = error_kind(error), str(error)
    except ModuleNotFoundError as error:
        kind, text = "package", f"{error.name} is not installed for {sys.executable}"
        if error.name == "torch":
            text = needs_pytorch("this")
    except BaseException as error:
        details = traceback.format_exc()
        text = " ".join(str(error).split())
        if _is_out_of_memory(error):
            text = f"the memory ran out: {text or type(error).__name__}"
            return {"event": "error", "kind": "memory", "message": text, "details": details}
        broken = "CUDA error" in text  # every later call in this process would fail: the application starts another
        text = f"unexpected {type(error).__name__}: {text}"
        return {"event": "error", "kind": "unexpected", "message": text, "details": details, "broken_gpu": broken}
    return {"event": "error", "kind": kind, "message": text}


class _JobOptions(dict[str, Any]):
    """Options of a job; one that is missing is an error that names it."""

    def __init__(self, options: Mapping[str, Any], name: str = "options") -> None:
        self._name = name
        super().__init__(
            {key: _JobOptions(one, f"{name}.{key}") if isinstance(one, dict) else one for key, one in options.items()}
        )

    def __missing__(self, key: str) -> NoReturn:
        raise InputError(f"a job needs the option {key}, which is missing in its {self._name}")


def run_on_device(capability: Capability, job: RunningJob) -> Mapping[str, Any] | None:
    """Runs a job on the device that its capability chooses; when a GPU's memory runs out, again on the CPU, noted."""
    device = capability.choose_device(job.options)
    job.started(device)
    try:
        return capability.run(job, device)
    except Exception as error:
        if device == "cpu" or not _is_out_of_memory(error):
            raise
    _empty_gpu_cache()  # outside of the except block, whose error keeps the tensors alive
    job.notes.append(f"{device} ran out of memory; run again on the CPU")
    job.started("cpu")
    return capability.run(job, "cpu")


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def _empty_gpu_cache() -> None:
    """Releases the GPU memory that torch, where it is loaded, keeps cached."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
