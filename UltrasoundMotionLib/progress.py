"""Progress callbacks, by which long calls report progress and callers stop them."""

from typing import Protocol


class Progress(Protocol):
    """A callback `progress(done, total, message)` of a long call; raise `Cancelled` (or any exception) to stop it."""

    def __call__(self, done: int, total: int, message: str) -> None: ...


def no_progress(done: int, total: int, message: str) -> None:
    """Ignores the progress; the default callback."""
