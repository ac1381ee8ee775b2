"""The functions that a module must offer so that the child process can run it.

A new capability is a new file in the package `capabilities`; a module elsewhere is run only where it was added by name.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.jobs.running_job import RunningJob

_PACKAGE = "UltrasoundMotionLib.jobs.capabilities"
_added: set[str] = set()


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


def added_capabilities() -> tuple[str, ...]:
    """Returns the names of modules outside of the package that may be run, sorted."""
    return tuple(sorted(_added))


def add_capability(name: str) -> None:
    """Lets a module outside of the package be run, by its full name."""
    _added.add(name)


def load_capability(name: str) -> Capability:
    """Imports the module of a capability, which is in the package of capabilities or was added by its name.

    Raises:
        InputError: there is no such capability, or it has no `run`.
    """
    if name not in _known():
        raise InputError(f"there is no capability {name!r}")
    module = import_module(name)
    if not hasattr(module, "run"):
        raise InputError(f"{name} is no capability: it has no run")
    return cast(Capability, module)


def _known() -> set[str]:
    modules = pkgutil.iter_modules(import_module(_PACKAGE).__path__)
    return {f"{_PACKAGE}.{module.name}" for module in modules} | _added
