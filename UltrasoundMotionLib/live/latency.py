"""Latency: how long after a frame was made, and after it was received, its positions were sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_BINS_PER_DECADE = 100
_SHORTEST_S, _LONGEST_S = 1e-5, 1e3
_RECENT = 300
_EARLIEST_S, _LATEST_S = -0.005, 60.0
"""Limits of a difference between two readings of the same clock; a frame that is older was made on another one."""


class LatencyStatistics:
    """Percentiles of any number of durations in bounded memory, to 2.3 percent."""

    def __init__(self) -> None:
        decades = round(np.log10(_LONGEST_S / _SHORTEST_S))
        self._edges = _SHORTEST_S * 10 ** (np.arange(decades * _BINS_PER_DECADE + 1) / _BINS_PER_DECADE)
        self._counts = np.zeros(len(self._edges) + 1, dtype=np.int64)
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def add(self, seconds: float) -> None:
        """Adds a duration."""
        self._counts[np.searchsorted(self._edges, seconds)] += 1
        self._recent.append(seconds)

    def percentile_s(self, percent: float) -> float | None:
        """Returns a percentile of all durations in seconds, None before the first."""
        total = len(self)
        if not total:
            return None
        position = int(np.searchsorted(np.cumsum(self._counts), percent / 100 * total, side="left"))
        return float(self._edges[min(position, len(self._edges) - 1)])

    def recent_s(self, percent: float) -> float | None:
        """Returns a percentile of the last 300 durations."""
        return float(np.percentile(self._recent, percent)) if self._recent else None


@dataclass(frozen=True)
class LatencySummary:
    """Latency of the frames that were tracked, in seconds; None where it is not known.

    Attributes:
        processing_p50_s, processing_p95_s: from the receipt of a frame to the sending of its positions, all frames.
        recent_p50_s, recent_p95_s: the same of the last 300 frames.
        source_p50_s, source_p95_s: from the source's time stamp to the sending; None unless source and this computer
            share a clock.
        clock: one line on the source's clock.
    """

    processing_p50_s: float | None = None
    processing_p95_s: float | None = None
    recent_p50_s: float | None = None
    recent_p95_s: float | None = None
    source_p50_s: float | None = None
    source_p95_s: float | None = None
    clock: str = ""

    @property
    def best_p50_s(self) -> float | None:
        """The median latency from the source's stamp where it is known, else from the receipt."""
        return self.recent_p50_s if self.source_p50_s is None else self.source_p50_s

    def text(self) -> str:
        """`latency 21 ms (p95 34), 24 ms (39) since the source's stamp`."""
        if self.recent_p50_s is None or self.recent_p95_s is None:
            return "latency not known yet"
        text = f"latency {1e3 * self.recent_p50_s:.0f} ms (p95 {1e3 * self.recent_p95_s:.0f})"
        if self.source_p50_s is None or self.source_p95_s is None:
            return text
        return f"{text}, {1e3 * self.source_p50_s:.0f} ms ({1e3 * self.source_p95_s:.0f}) since the source's stamp"


class Latency:
    """Collects the latencies of a session.

    The source's clock counts as this computer's where the source runs on this computer and all its stamps lie in the
    last minute. Otherwise two clocks cannot be told from transport by messages that come one way: the latency since
    the stamp stays unknown, and the smallest difference that was seen is stated.
    """

    def __init__(self) -> None:
        self._processing, self._source = LatencyStatistics(), LatencyStatistics()
        self._shared: bool | None = None
        self._smallest_s = np.inf

    def see_stamp(self, source_time_s: float | None, received_s: float, *, same_computer: bool) -> None:
        """Takes the stamp of a received frame and the time of its receipt."""
        if source_time_s is None:
            return
        difference = received_s - source_time_s
        self._smallest_s = min(self._smallest_s, difference)
        plausible = same_computer and _EARLIEST_S <= difference <= _LATEST_S
        self._shared = plausible and self._shared is not False

    def add(
        self, source_time_s: float | None, received_monotonic_s: float, *, now_s: float, monotonic_s: float
    ) -> None:
        """Takes the times of a frame whose positions were sent now."""
        self._processing.add(monotonic_s - received_monotonic_s)
        if self._shared and source_time_s is not None:
            self._source.add(max(0.0, now_s - source_time_s))

    def summary(self) -> LatencySummary:
        """Returns the latencies so far."""
        processing, source = self._processing, self._source
        if self._shared is None:
            clock = "the source sends no time stamps: latency is from receipt"
        elif self._shared:
            clock = "the source's clock is this computer's"
        else:
            clock = (
                f"the source's clock is not known: the smallest difference to this computer's is"
                f" {self._smallest_s:.3f} s, transport included; latency is from receipt"
            )
        return LatencySummary(
            processing.percentile_s(50),
            processing.percentile_s(95),
            processing.recent_s(50),
            processing.recent_s(95),
            source.percentile_s(50) if self._shared else None,
            source.percentile_s(95) if self._shared else None,
            clock,
        )
