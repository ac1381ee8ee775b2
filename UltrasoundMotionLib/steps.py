"""Long work cut into short steps, between which an application answers its user."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Generic, TypeVar

from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.progress import Progress, no_progress

Result = TypeVar("Result")
StepProgress = tuple[int, int, str]
"""(done, total, message), as a `Progress` callback takes it."""

Steps = Generator[StepProgress, None, Result]
"""Work that yields its progress before each step and returns its result. What it looks at may change at each yield."""


class StepsCancelled(Cancelled):
    """Raised at a yield of steps that the user has cancelled; they undo what is unfinished and end."""


def run_steps(steps: Steps[Result], progress: Progress = no_progress) -> Result:
    """Runs steps to their end and returns their result; an exception of `progress` stops them."""
    try:
        while True:
            progress(*next(steps))
    except StopIteration as finished:
        return finished.value
    finally:
        steps.close()


def not_cancelled(steps: Steps[Result]) -> Steps[Result]:
    """Runs steps that are better finished than left halfway: a cancel is ignored."""
    try:
        while True:
            progress = next(steps)
            with suppress(StepsCancelled):
                yield progress
    except StopIteration as finished:
        return finished.value
    finally:
        steps.close()


class StepRunner(Generic[Result]):
    """Steps that are run a slice at a time.

    Attributes:
        finished: True once they have ended, with or without an exception.
        result: what they returned.
    """

    def __init__(self, steps: Steps[Result], clock: Callable[[], float] = time.perf_counter) -> None:
        self._steps, self._clock = steps, clock
        self._cancelled = False
        self._message = ""
        self._longest_s = 0.0
        self.finished = False
        self.result: Result | None = None

    def cancel(self) -> None:
        """Raises `StepsCancelled` in the steps when they go on."""
        self._cancelled = True

    def close(self) -> None:
        """Ends the steps where they stand; they undo what is unfinished."""
        self.finished = True
        self._steps.close()

    def advance(self, budget_s: float) -> StepProgress | None:
        """Runs steps, at least one, until another would probably exceed the budget: one that takes as long as the
        longest with its message, or one whose message is new.

        Returns the progress, or None once they have ended. Exceptions of the steps pass.
        """
        start = self._clock()
        try:
            while True:
                before = self._clock()
                progress = self._next()
                now = self._clock()
                self._longest_s = max(self._longest_s, now - before)
                if progress[2] != self._message:
                    self._message, self._longest_s = progress[2], 0.0
                    return progress
                if now + self._longest_s - start > budget_s:
                    return progress
        except StopIteration as end:
            self.finished, self.result = True, end.value
            return None
        except BaseException:
            self.finished = True
            raise

    def _next(self) -> StepProgress:
        if self._cancelled:
            self._cancelled = False
            return self._steps.throw(StepsCancelled("cancelled"))
        return next(self._steps)
