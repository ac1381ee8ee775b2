"""Offline tracking: each landmark followed forwards and backwards, both fused by their uncertainty, and smoothed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.run import OnFrame, run_query
from UltrasoundMotionLib.tracking.sight.judge_tracks import judge_tracks
from UltrasoundMotionLib.tracking.sight.picture_events import CUT
from UltrasoundMotionLib.tracking.wrappers.judged_tracker import JudgedTracker
from UltrasoundMotionLib.tracking.wrappers.track_smoothing import smooth_paths


@dataclass(frozen=True)
class OfflineConfig:
    """Settings; lengths in pixels of a frame whose longer side has 256.

    Attributes:
        measured_px: standard deviation of a tracked position of full confidence.
        drift_px: standard deviation that each frame since the tracker's start adds to it.
        hidden_px: standard deviation that each frame out of sight adds to it.
        acceleration_px: standard deviation of the acceleration, see `smooth_paths`.
        agree_px: difference of the two passes that lowers the confidence to 0.6.
        visible_above: confidence under which a landmark is marked not visible because the two passes differ.
    """

    measured_px: float = 0.5
    drift_px: float = 0.1
    hidden_px: float = 1.0
    acceleration_px: float = 0.5
    agree_px: float = 4.0
    visible_above: float = 0.3


def track_offline(
    sequence: ImageSequence,
    create_tracker: Callable[[], OnlineTracker],
    query: PointQuery,
    *,
    model: str = "",
    progress: Progress = no_progress,
    on_frame: OnFrame | None = None,
    keep_partial: bool = False,
    config: OfflineConfig | None = None,
) -> PointTracks:
    """Follows points with knowledge of all frames; takes twice as long as `run_query`, whose arguments it takes.

    From the query frame to the end of the sequence as online; from the end back again with a fresh tracker; the two
    weighed by variances that grow with the frames since each began and with those since each last saw the landmark; the
    backward pass begins with the variance of the forward one, and counts the less, the further from the query point it
    ends. Then a smoother. Frames before the query frame the same, mirrored. Beyond a cut the forward pass stays.

    `on_frame` is called in the forward pass, and once more for every frame when all is done and judged. A cancelled run
    with `keep_partial` returns the forward pass.
    """
    config = config or OfflineConfig()
    unit = max(sequence.frame_size) / 256
    total = query.reached_count
    ways: list[JudgedTracker] = []

    def create_watched() -> JudgedTracker:
        ways.append(JudgedTracker(create_tracker()))
        return ways[-1]

    there = run_query(
        sequence,
        create_watched,
        query,
        model=model,
        progress=lambda done, _, message: progress(done, 2 * total, message),
        on_frame=on_frame,
        keep_partial=keep_partial,
        judged=False,
    )
    if np.count_nonzero(there.reached) < total:
        return judge_tracks(sequence, there, query, on_frame)
    positions, confidence, visible = there.positions_px.copy(), there.confidence.copy(), there.visible.copy()
    done = total
    for step, way in zip(query.steps, ways, strict=False):  # from frame 0 there is one way only
        lost_from = [event.first for event in way.events if event.kind == CUT and not event.returned]
        frames = np.array(query.frames(step))[: min(lost_from, default=None)]  # beyond it nothing comes back
        if len(frames) < 3:
            continue
        back: list[FrameTracks] = []
        tracker = JudgedTracker(create_tracker())
        for frame in frames[::-1].tolist():
            image = sequence.frame(frame)
            back.append(tracker.update(image) if back else tracker.start(image, positions[frame]))
            done += 1
            progress(min(done, 2 * total), 2 * total, f"frame {frame}, on the way back")
        back_part = PointTracks(
            np.stack([one.positions_px for one in back[::-1]]),
            np.stack([one.confidence for one in back[::-1]]),
            np.stack([one.visible for one in back[::-1]]),
            there.labels,
            0,
        )
        positions[frames], confidence[frames], visible[frames] = _fuse_passes(
            _selected_frames(there, frames), back_part, unit, config
        )
    result = replace(there, positions_px=positions, confidence=confidence, visible=visible)
    return judge_tracks(sequence, result, query, on_frame)


def _selected_frames(tracks: PointTracks, frames: np.ndarray) -> PointTracks:
    """Selects frames (K,) of the tracks in that order; the first becomes the query frame."""
    return replace(
        tracks,
        positions_px=tracks.positions_px[frames],
        confidence=tracks.confidence[frames],
        visible=tracks.visible[frames],
        query_frame=0,
        times_s=None,
    )


def _frames_hidden(visible: np.ndarray) -> np.ndarray:
    """Counts (T, N) the frames up to each one in which a landmark has not been visible; 0 where it is."""
    frames = np.arange(len(visible))[:, None]
    return frames - np.maximum.accumulate(np.where(visible, frames, 0), axis=0)


def _fuse_passes(
    there: PointTracks, back: PointTracks, unit: float, config: OfflineConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fuses two passes over the same frames, of which `there` began on the first, into positions (T, N, 2), confidence
    (T, N) and visibility (T, N).
    """
    since = np.arange(len(there.positions_px), dtype=np.float64)[:, None]
    measured, drift, lost = (
        (config.measured_px * unit) ** 2,
        (config.drift_px * unit) ** 2,
        (config.hidden_px * unit) ** 2,
    )
    closing = np.sum((back.positions_px[0] - there.positions_px[0]) ** 2, axis=1)
    there_variance = (
        measured / np.maximum(there.confidence, 0.05) + drift * since + lost * _frames_hidden(there.visible) ** 2
    )
    back_variance = measured / np.maximum(back.confidence, 0.05) + drift * (2 * since[-1] - since) + closing
    back_variance = back_variance + lost * _frames_hidden(back.visible[::-1])[::-1] ** 2
    apart = np.linalg.norm(there.positions_px - back.positions_px, axis=2)
    weights = np.stack((1 / there_variance, 1 / back_variance))
    weights[:, 0] = [[1 / 1e-6], [0.0]]
    total = weights.sum(axis=0)
    mean = np.einsum("wtn,wtnc->tnc", weights, np.stack((there.positions_px, back.positions_px))) / total[..., None]
    positions, _ = smooth_paths(mean, 1 / total, config.acceleration_px * unit)
    positions[0] = there.positions_px[0]
    agreement = np.where(there.visible & back.visible, np.exp(-0.5 * (apart / (config.agree_px * unit)) ** 2), 1.0)
    agreement[0] = 1.0
    surer = weights[0] >= weights[1]
    confidence = np.where(surer, there.confidence, back.confidence) * agreement
    visible = np.where(surer, there.visible, back.visible) & (agreement > config.visible_above)
    return positions, confidence, visible
