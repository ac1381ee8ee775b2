"""Progress of a run whose number of steps is known before."""

from __future__ import annotations

from UltrasoundMotionLib.progress import Progress


class CountedSteps:
    """Counts steps and reports each; an instance is called after a step.

    Args:
        progress: is called with the steps done, their number and the message; raises to stop.
        total: number of steps.
    """

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self.message = ""

    def __call__(self) -> None:
        """Counts a step."""
        self._done += 1
        self._progress(self._done, self._total, self.message)
