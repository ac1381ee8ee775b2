"""The words by which the library's errors cross the pipe, and the errors that they become again."""

from __future__ import annotations

from UltrasoundMotionLib.errors import InputError, MissingPackageError, OutputError, ProcessError, UltrasoundMotionError

ERRORS = {"input": InputError, "output": OutputError, "package": MissingPackageError}


def kind_of(error: BaseException) -> str:
    """The word for an error in a message and in `JobFailed.kind`; "unexpected" for what is none of the library's own."""
    return next((kind for kind, of in ERRORS.items() if isinstance(error, of)), "unexpected")


def error_of(kind: str, message: str) -> UltrasoundMotionError:
    """The error of a word; a ProcessError for whatever happened to the process rather than to its input and output."""
    return ERRORS.get(kind, ProcessError)(message)
