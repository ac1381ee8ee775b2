"""The one way in which a long call tells how far it is, and in which its caller stops it."""

from typing import Protocol


class Progress(Protocol):
    """Called by long functions as `progress(done, total, message)`; raise `Cancelled` (or any exception) from it to
    stop the call.
    """

    def __call__(self, done: int, total: int, message: str) -> None: ...


def no_progress(done: int, total: int, message: str) -> None:
    """The default: says nothing and never cancels."""
