"""What a module must offer so that the child process can run it.

Nothing lists the capabilities: another one is another file.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.job import JobRequest
    from UltrasoundMotionLib.jobs.job_folder import JobFolder
    from UltrasoundMotionLib.jobs.running_job import RunningJob


class Capability(Protocol):
    """Functions of a module, beside the one that makes its request.

    `choose_device` and `run` are called in the child and may import torch; the others are called in the application and
    must not.
    """

    def choose_device(self, options: Mapping[str, Any]) -> str:
        """The device to run on, for the options of a request."""
        ...

    def run(self, job: RunningJob, device: str) -> Mapping[str, Any] | None:
        """Does the work: big results into the job's folder, the rest returned as what fits in JSON.

        When `job.progress` raises Cancelled, returns what is finished, or None or lets it pass where that is nothing.
        """
        ...

    def result(self, request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> Any:
        """The library's own result from what `run` left in the folder and returned, arrays read into memory."""
        ...

    def partial(self, request: JobRequest, folder: JobFolder) -> Any:
        """What is finished by now, or None."""
        ...


def load_capability(name: str) -> Capability:
    """The module of that name.

    Raises:
        InputError: there is none, or it has no `run`.
    """
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise InputError(f"there is no capability {name}") from None
    except (ValueError, TypeError):
        raise InputError(f"there is no capability {name!r}") from None
    if not hasattr(module, "run"):
        raise InputError(f"{name} is no capability: it has no run")
    return module  # type: ignore[return-value]
