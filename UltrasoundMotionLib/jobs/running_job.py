"""A job as the child process sees it, and its run on a device."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.jobs.capability import Capability
from UltrasoundMotionLib.jobs.job_folder import JobFolder

REPORT_EVERY_S = 0.05


class RunningJob:
    """What a capability's `run` gets.

    Attributes:
        options: of the request.
        folder: its arrays; results go there too.
        notes: what was done beyond what was asked, a line each; may be added to.
    """

    def __init__(self, number: int, folder: Path, options: Mapping[str, Any], say: Callable[..., None]) -> None:
        self.number = number
        self.folder = JobFolder(folder)
        self.options = options
        self.notes: list[str] = []
        self.cancel_asked = threading.Event()
        self._say = say
        self._began = time.monotonic()
        self._next_report = 0.0

    def started(self, device: str) -> None:
        """Says where the work begins."""
        self._say(event="started", job=self.number, device=device)

    def progress(self, done: int, total: int, message: str) -> None:
        """A `Progress`: reports at most twenty times a second.

        Raises:
            Cancelled: the application asked for it.
        """
        now = time.monotonic()
        if now >= self._next_report or done == total:
            self._next_report = now + REPORT_EVERY_S
            self._say(
                event="progress", job=self.number, done=done, total=total, message=message, seconds=now - self._began
            )
        if self.cancel_asked.is_set():
            raise Cancelled(f"cancelled after {done} of {total}")


def run_on_device(capability: Capability, job: RunningJob) -> dict[str, Any]:
    """Runs the job where it asks to be run; where a GPU's memory runs out, again on the CPU, and notes it."""
    device = capability.choose_device(job.options)
    job.started(device)
    try:
        return capability.run(job, device)
    except Exception as error:
        if device == "cpu" or not is_out_of_memory(error):
            raise
    empty_gpu_cache()  # outside of the except block, whose error keeps the tensors alive
    job.notes.append(f"{device} ran out of memory; run again on the CPU")
    job.started("cpu")
    return capability.run(job, "cpu")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, torch's included, says that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def empty_gpu_cache() -> None:
    """Gives the GPU's memory that is not in use back, where torch is loaded."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
