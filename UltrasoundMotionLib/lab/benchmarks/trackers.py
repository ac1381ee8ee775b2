"""The trackers that take part in a benchmark, ours and others', and the one way in which each is run and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.peers import Peer, available_peers, find_peer
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.run import run_clip_query, run_query


@dataclass(frozen=True)
class BenchmarkTracker:
    """A tracker of a benchmark.

    Attributes:
        name: in tables.
        create: makes a fresh tracker, an `OnlineTracker` or a `ClipTracker`.
        ours: whether it is of this project; the others are peers.
        online: whether it is an `OnlineTracker`.
        weights: file of weights that are not its own.
    """

    name: str
    create: Callable[[], Any]
    ours: bool
    online: bool = True
    weights: Path | None = None

    def track(
        self,
        sequence: ImageSequence,
        points_px: np.ndarray,
        *,
        labels: Sequence[str] | None = None,
        query_frame: int = 0,
    ) -> PointTracks:
        """Follows points (N, 2), given on the query frame, through the whole sequence.

        Raises:
            InputError: see `PointQuery.on`.
        """
        query = PointQuery.on(sequence, points_px, labels=labels, frame=query_frame)
        if not self.online:
            return run_clip_query(sequence, self.create, query, model=self.name, judged=self.ours)
        return run_query(sequence, self.create, query, model=self.name, judged=self.ours)


@dataclass(frozen=True)
class ChosenTrackers:
    """The trackers that can run here, and why the others of those asked for cannot, by name."""

    trackers: tuple[BenchmarkTracker, ...]
    missing: Mapping[str, str] = field(default_factory=dict)


def benchmark_trackers(
    models: Sequence[str] | None = None,
    peers: Sequence[str] | None = None,
    *,
    kind: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    weights: Mapping[str, Path] | None = None,
) -> ChosenTrackers:
    """Returns ours by model name (None: all that the registry has), then the peers by theirs (None: all), all with the
    same number of threads.

    Args:
        kind: where `models` is None, only ours of this kind ("points" or "landmarks").
        threads: for torch and for OpenCV; None leaves torch's number and gives OpenCV the same.
        weights: of our trackers that are not to take their own, by name.

    Raises:
        InputError: a model, peer or device that does not exist; weights of a tracker that does not run.
    """
    import torch

    from UltrasoundMotionLib.device import choose_device
    from UltrasoundMotionLib.tracking.registry import available_trackers, find_tracker

    if threads is not None:
        torch.set_num_threads(threads)
    chosen_device = choose_device(device)
    if models is None:
        entries = [entry for entry in available_trackers() if kind in (None, entry.kind)]
    else:
        entries = [find_tracker(name) for name in models]
    weights = weights or {}
    unused = next((name for name in weights if name not in {entry.name for entry in entries}), None)
    if unused is not None:
        raise InputError(f"weights of {unused}: this tracker does not run; name it with --models")
    trackers = [
        BenchmarkTracker(
            entry.name, partial(entry.make, chosen_device, weights=file), ours=True, online=entry.online, weights=file
        )
        for entry, file in ((entry, weights.get(entry.name)) for entry in entries)
    ]
    wanted = available_peers("tracking") if peers is None else [find_peer(name, "tracking") for name in peers]
    installed, missing = installed_peers(wanted)
    trackers += [BenchmarkTracker(peer.name, peer.call, False) for peer in installed]
    return ChosenTrackers(tuple(trackers), missing)


def installed_peers(peers: Sequence[Peer]) -> tuple[list[Peer], dict[str, str]]:
    """Tries to make each tracker once, and gives OpenCV as many threads as PyTorch has.

    Returns:
        Those that can run here; and of the others, what is missing by their name.
    """
    import torch

    from UltrasoundMotionLib.lab.benchmarks.peers.opencv import set_opencv_threads

    installed, missing = [], {}
    for peer in peers:
        try:
            peer.call()
            set_opencv_threads(torch.get_num_threads())
        except MissingPackageError as error:
            missing[peer.name] = str(error)
        else:
            installed.append(peer)
    return installed, missing


def run_timed(tracker: BenchmarkTracker, sequence: ImageSequence, truth: PointTracks) -> tuple[PointTracks, float]:
    """Tracks the truth's points from its query frame.

    Returns:
        The tracks, and frames per second from the first frame read to the last result.
    """
    query_frame = truth.query_frame
    started = time.perf_counter()
    tracks = tracker.track(sequence, truth.positions_px[query_frame], labels=truth.labels, query_frame=query_frame)
    return tracks, len(sequence) / (time.perf_counter() - started)


def same_points(positions_px: np.ndarray, labels: Sequence[str] | None = None, query_frame: int = 0) -> PointTracks:
    """Returns positions (T, N, 2), NaN where unknown, as a truth: visible wherever they are known."""
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
