"""How quickly a job advances."""

from __future__ import annotations


class Rate:
    """Rate and time left from reports of how far a job is; begins anew where the count or the total changes its meaning
    (another stage).
    """

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, int] = (0, 0)

    def report(self, done: int, total: int, seconds: float) -> tuple[float | None, float | None]:
        """(items per second, seconds left), None each before they are known.

        Args:
            seconds: since the job began.
        """
        if self._first is None or total != self._last[1] or done < self._last[0]:
            self._first = (done, seconds)
        self._last = (done, total)
        first_done, first_seconds = self._first
        if done == first_done or seconds <= first_seconds:
            return None, None
        rate = (done - first_done) / (seconds - first_seconds)
        return rate, max(0, total - done) / rate
