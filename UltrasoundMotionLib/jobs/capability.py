"""The functions that a module must offer so that the child process can run it.

There is no list of capabilities: a new one is a new file.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.jobs.running_job import RunningJob


class Capability(Protocol):
    """Functions of a capability's module, beside the one that makes its request.

    `choose_device` and `run` are called in the child and may import torch; the others are called in the application and
    must not.
    """

    def choose_device(self, options: Mapping[str, Any]) -> str:
        """Returns the device to run on ("cpu", "cuda", "mps") for the options of a request."""
        ...

    def run(self, job: RunningJob, device: str) -> Mapping[str, Any] | None:
        """Does the work: writes arrays into the job's folder and returns the rest of the result, which JSON can hold.

        When `job.progress` raises Cancelled, it returns the finished part, or None, or lets the exception pass where
        nothing is finished.
        """
        ...

    def result(self, request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> Any:
        """Builds the library's result from the folder's arrays, read into memory, and the values from `run`."""
        ...

    def partial(self, request: JobRequest, folder: JobFolder) -> Any:
        """Returns the part of the result that is finished by now, or None."""
        ...


def load_capability(name: str) -> Capability:
    """Imports the module of a capability.

    Raises:
        InputError: there is no such module, or it has no `run`.
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
    return cast(Capability, module)
