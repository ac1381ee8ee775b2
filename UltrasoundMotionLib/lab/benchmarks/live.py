"""`benchmark live`: latency and memory of a live session over the loopback, minute by minute."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_output_arguments,
    check_arguments,
    show,
    thread_count,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target

GOAL_P95_MS = 100.0
_GROWTH, _MEMORY_GROWTH_MB = 1.5, 20.0
_CLIP_FRAMES, _RATE_HZ = 90, 30.0
_STEP_PX = 3


@dataclass(frozen=True)
class LiveRow:
    """One minute, or less of a shorter run: frames received and tracked, latency from receipt, load and memory."""

    minute: int
    received: int
    tracked: int
    p50_ms: float
    p95_ms: float
    since_stamp_p95_ms: float | None
    processor_ms: float
    load: float
    resident_mb: float


COLUMNS: tuple[Column[LiveRow], ...] = (
    Column("minute", "minute", names_method=True),
    Column("received", "received"),
    Column("tracked", "tracked"),
    Column("median", "p50_ms", 0, unit="ms"),
    Column("p95", "p95_ms", 0, unit="ms"),
    Column("p95 since the stamp", "since_stamp_p95_ms", 0, unit="ms"),
    Column("processor a tracked frame", "processor_ms", 1, unit="ms"),
    Column("load of the machine", "load", 1),
    Column("resident", "resident_mb", 0, unit="MB"),
)


def live_targets(rows: Sequence[LiveRow]) -> tuple[Target, ...]:
    """At most 100 ms for 95 % of the frames in every minute, no growth of latency and memory."""
    worst = max(row.p95_ms for row in rows)
    targets = [
        Target(
            "latency from receipt, p95 of the worst minute",
            f"under {GOAL_P95_MS:g} ms",
            f"{worst:.0f} ms",
            worst < GOAL_P95_MS,
        )
    ]
    if len(rows) > 2:
        first, last = rows[1], rows[-1]
        targets += [
            Target(
                "growth of the median from the second minute to the last",
                f"under {_GROWTH:g} times",
                f"{last.p50_ms / first.p50_ms:.2f} times",
                last.p50_ms < _GROWTH * first.p50_ms,
            ),
            Target(
                "growth of the memory from the second minute to the last",
                f"under {_MEMORY_GROWTH_MB:g} MB",
                f"{last.resident_mb - first.resident_mb:.1f} MB",
                last.resident_mb - first.resident_mb < _MEMORY_GROWTH_MB,
            ),
        ]
    return tuple(targets)


def benchmark_live(
    *, seconds: float, rate_hz: float, size: tuple[int, int], point_count: int, model: str | None = None
) -> BenchmarkResult[LiveRow]:
    """Replays swaying speckle in a process of its own and tracks it in this one.

    Raises:
        InputError: the system does not say how much memory the process has (other than Linux).
    """
    from UltrasoundMotionLib.images.sequence_files import write_sequence
    from UltrasoundMotionLib.live import LiveRequest, LiveSession, LiveUpdate

    _resident_mb()
    width, height = size
    points = np.column_stack(
        (np.linspace(0.2, 0.8, point_count) * width, (0.5 + 0.25 * np.cos(np.arange(point_count))) * height)
    )
    rows: list[LiveRow] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.nrrd"
        write_sequence(clip, swaying_clip(size), compress=False)
        request = LiveRequest(replay=clip, replay_rate_hz=rate_hz, seconds=seconds, model=model, serve="0")
        minute = _Minute(1, 0)

        def on_update(update: LiveUpdate) -> None:
            nonlocal minute
            minute.add(update)
            if minute.seconds >= 60:
                rows.append(minute.row())
                minute = _Minute(minute.number + 1, minute.received)

        with LiveSession(request, points_px=points) as session:
            session.run(on_update)
        if minute.latencies_s and not rows:
            rows.append(minute.row())
    if not rows:
        raise InputError(f"no frame was tracked in {seconds:g} s; is the machine too busy?")
    details = {"threads": thread_count(), "points": point_count, "size": size, "rate_hz": rate_hz}
    return BenchmarkResult(COLUMNS, tuple(rows), live_targets(rows), details)


class _Minute:
    """Collects what a row says."""

    def __init__(self, number: int, received: int) -> None:
        """`received` is the number of frames received before."""
        self.number, self.received, self._received_before = number, received, received
        self.latencies_s: list[float] = []
        self._since_stamp_s: list[float] = []
        self._begun_s, self._processor_s = time.monotonic(), time.process_time()

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begun_s

    def add(self, update: object) -> None:
        """Takes an update of the session."""
        source, frame = update.source, update.frame  # type: ignore[attr-defined]
        self.received = source.received
        if frame is not None and update.points is not None:  # type: ignore[attr-defined]
            self.latencies_s.append(time.monotonic() - frame.received_monotonic_s)
            if frame.source_time_s is not None:
                self._since_stamp_s.append(time.time() - frame.source_time_s)

    def row(self) -> LiveRow:
        """Returns the row."""
        p50, p95 = (1e3 * np.percentile(self.latencies_s, (50, 95))).tolist()
        since = float(np.percentile(self._since_stamp_s, 95) * 1e3) if self._since_stamp_s else None
        processor_ms = 1e3 * (time.process_time() - self._processor_s) / len(self.latencies_s)
        count = len(self.latencies_s)
        load = os.getloadavg()[0]
        return LiveRow(
            self.number,
            self.received - self._received_before,
            count,
            p50,
            p95,
            since,
            processor_ms,
            load,
            _resident_mb(),
        )


def swaying_clip(size: tuple[int, int]) -> ImageSequence:
    """Returns speckle that sways along a closed path, so that its replay has no jump."""
    from scipy.ndimage import gaussian_filter

    width, height = size
    reach = 4 * _STEP_PX
    noise = np.random.default_rng(0).normal(size=(2, height + 2 * reach, width + 2 * reach))
    envelope = np.hypot(*gaussian_filter(noise, (0, 2.0, 2.0)))
    texture = np.clip(80 * envelope / envelope.mean(), 0, 255).astype(np.uint8)
    frames = np.empty((_CLIP_FRAMES, height, width), np.uint8)
    for index, phase in enumerate(2 * np.pi * np.arange(_CLIP_FRAMES) / _CLIP_FRAMES):
        left, top = round(reach * (1 + 0.95 * np.sin(phase))), round(reach * (1 + 0.95 * np.sin(2 * phase)))
        frames[index] = texture[top : top + height, left : left + width]
    return ImageSequence(frames, (0.2, 0.2), np.arange(_CLIP_FRAMES) / _RATE_HZ)


def _resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError as error:
        raise InputError("the memory of this process can be read on Linux only") from error
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("live", help="latency and memory of live tracking over the loopback")
    parser.add_argument("--seconds", metavar="S", type=whole_number, default=600, help="length (default 600)")
    parser.add_argument("--rate", metavar="FPS", type=whole_number, default=30, help="frames a second (default 30)")
    parser.add_argument(
        "--size", metavar=("W", "H"), nargs=2, type=whole_number, default=(800, 600), help="(default 800 600)"
    )
    parser.add_argument("--points", metavar="N", type=whole_number, default=5, help="number of landmarks (default 5)")
    parser.add_argument("--model", metavar="M", help="tracker (default lucas-kanade)")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    result = benchmark_live(
        seconds=arguments.seconds,
        rate_hz=arguments.rate,
        size=tuple(arguments.size),
        point_count=arguments.points,
        model=arguments.model,
    )
    show(result, arguments)
    return 0
