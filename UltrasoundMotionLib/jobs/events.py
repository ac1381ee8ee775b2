"""What a job tells: `JobProcess.poll` returns these in the order in which they happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.job import Job


@dataclass(frozen=True)
class JobStarted:
    """The job runs on a device ("cpu", "cuda", "mps"); comes again where a GPU's memory ran out and the CPU takes over."""

    job: Job
    device: str


@dataclass(frozen=True)
class JobProgress:
    """How far it is.

    The rate is that since the first report, None before there is one; what comes before the first report is
    preparation.
    """

    job: Job
    done: int
    total: int
    message: str
    items_per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class JobFinished:
    """The whole result; `notes` say what was done beyond what was asked (another device), a line each."""

    job: Job
    result: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobFailed:
    """It ended without its result.

    Attributes:
        message: one line.
        kind: "input", "output", "package" (the library's own errors), "memory", "crash", "timeout" or "unexpected".
        child_output: the last lines that the child process wrote on its stderr, or the traceback.
        partial: what was finished, or None.
    """

    job: Job
    message: str
    kind: str
    child_output: str = ""
    partial: Any = None


@dataclass(frozen=True)
class JobCancelled:
    """It was cancelled; `result` is what was finished, or None."""

    job: Job
    result: Any = None


JobEvent = JobStarted | JobProgress | JobFinished | JobFailed | JobCancelled
ENDS = (JobFinished, JobFailed, JobCancelled)
