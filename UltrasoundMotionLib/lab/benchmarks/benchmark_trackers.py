"""The trackers that take part in a benchmark, ours and others', and the one way in which each of them is run and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.opencv_peers import available_peers, find_peer, set_opencv_threads
from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.run import run_tracker

DIS_FROM_QUERY_FRAME = "opencv-dis"
"""The peer that our trackers are held against."""


@dataclass(frozen=True)
class BenchmarkTracker:
    """A tracker by its name in tables; `ours` tells it from the peers."""

    name: str
    create: Callable[[], OnlineTracker]
    ours: bool


def benchmark_trackers(
    models: Sequence[str] | None = None,
    peers: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
) -> tuple[BenchmarkTracker, ...]:
    """Ours by model name (None: all that the registry has), then the peers by theirs (None: all), all with the same
    number of threads.

    Args:
        threads: for torch and for OpenCV; None leaves torch's number and gives OpenCV the same.

    Raises:
        InputError: a model, peer or device that does not exist.
        MissingPackageError: peers are asked for and OpenCV is not installed.
    """
    import torch

    from UltrasoundMotionLib.device import choose_device
    from UltrasoundMotionLib.tracking.registry import available_trackers, find_tracker

    if threads is not None:
        torch.set_num_threads(threads)
    chosen_device = choose_device(device)
    entries = available_trackers() if models is None else [find_tracker(name) for name in models]
    ours = [BenchmarkTracker(entry.name, lambda entry=entry: entry.make(chosen_device), True) for entry in entries]
    chosen = available_peers() if peers is None else [find_peer(name) for name in peers]
    others = [BenchmarkTracker(peer.name, peer.create, False) for peer in chosen]
    if others:
        set_opencv_threads(torch.get_num_threads())
    return (*ours, *others)


def run_timed(tracker: BenchmarkTracker, sequence: ImageSequence, truth: PointTracks) -> tuple[PointTracks, float]:
    """Tracks the truth's points from its query frame; returns the tracks and frames per second, from the first frame
    read to the last result.
    """
    started = time.perf_counter()
    tracks = run_tracker(
        sequence,
        tracker.create,
        truth.positions_px[truth.query_frame],
        labels=truth.labels,
        query_frame=truth.query_frame,
        model=tracker.name,
    )
    return tracks, len(sequence) / (time.perf_counter() - started)


def same_points(positions_px: np.ndarray, labels: Sequence[str] | None = None, query_frame: int = 0) -> PointTracks:
    """Positions (T, N, 2), NaN where unknown, as a truth: visible wherever they are known."""
    known = np.all(np.isfinite(positions_px), axis=2)
    return PointTracks(
        positions_px=positions_px,
        confidence=known.astype(np.float64),
        visible=known,
        labels=tuple(labels)
        if labels is not None
        else tuple(f"P{index + 1}" for index in range(positions_px.shape[1])),
        query_frame=query_frame,
        model="truth",
    )
