"""The library's exceptions. Every message is one line that names the file or argument and the offending value."""


class UltrasoundMotionError(Exception):
    """Base of every error that this library raises."""


class InputError(UltrasoundMotionError):
    """The input cannot be used: a missing or truncated file, a wrong shape, a value out of range.

    The command line turns it into one line on stderr and exit code 2.
    """


class OptionError(InputError):
    """An option has a value that it cannot take; the command line names the argument instead."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{option}: {reason}")
        self.option, self.reason = option, reason


class OutputError(UltrasoundMotionError):
    """An output could not be written; no file with its final name was left."""


class MissingPackageError(UltrasoundMotionError):
    """An optional package is missing; the message names the extra that installs it."""


class Cancelled(UltrasoundMotionError):
    """Raised from a `progress` callback to stop a long call; the command line exits with 130."""


class ProcessError(UltrasoundMotionError):
    """The child process of a job crashed, or ran out of memory or time; the message has its last output."""
