"""The clips of `benchmark confidence`: phantoms and real clips, as they are and made hard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence, read_sequence
from UltrasoundMotionLib.lab.benchmarks.round_trip import structured_points
from UltrasoundMotionLib.lab.hardened_clips import HARDENINGS, HardClip, good_clip, hardened
from UltrasoundMotionLib.lab.phantom_cases import thin_points
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.sight.sight_judge import WITHIN_PX
from UltrasoundMotionLib.tracking.sight.small_pictures import halve
from UltrasoundMotionLib.tracking.track import track_points

GOOD = "good"
KINDS = (GOOD, *HARDENINGS)
REAL_CLIPS = {
    "echo-video": "echo-video/input.mp4",
    "echo-dicom": "echo-a4c-dicom/examples_ybr_color.dcm",
    "liver": "liver-free-breathing/frames",
}
"""Public clips by name, each a path in the folder of public data."""
POINTS = 16
_RETURN_PX = 3.0
_LARGEST_SIZE = 500


def phantom_clip(
    kind: str, difficulty: str, number: int, *, seed: int, frame_count: int
) -> tuple[ImageSequence, PointTracks]:
    """Simulates one phantom of a set, with at most 16 of its points that are in sight on frame 0."""
    from UltrasoundMotionLib.simulation.phantom_set import phantom_set

    phantom = phantom_set(kind, difficulty, number + 1, seed, frame_count=frame_count)[number]
    simulated = phantom.simulate()
    sequence = replace(simulated.sequence, name=f"{phantom.name} {seed}")
    return sequence, thin_points(simulated.truth_from(0), POINTS)


def real_clip(data: Path, name: str, *, frame_count: int, first: int = 0) -> tuple[ImageSequence, PointTracks]:
    """Reads a part of a public clip; the truth is the path of those points that two trackers agree on.

    Points with structure inside the sector are followed to the last frame and back by the default tracker, and there by
    block matching. Those count that return within 3 pixels (of a frame of 256), and whose two paths there stay within 4
    pixels, in every frame.

    Raises:
        InputError: the clip is not there, or too few points are left.
    """
    from UltrasoundMotionLib.images.graphics_mask import sector_mask, without_graphics

    whole = without_graphics(read_sequence(data / REAL_CLIPS[name]))
    frames = np.stack([whole.frame(index) for index in range(first, min(first + frame_count, len(whole)))])
    while max(frames.shape[1:]) >= _LARGEST_SIZE:
        frames = np.stack([halve(frame) for frame in frames])
    sequence = ImageSequence(frames.round().astype(np.uint8), name=f"{name} {first}")
    points = structured_points(sequence.frame(0), 4 * POINTS, margin_px=12, apart_px=12)
    columns, rows = points.astype(int).T
    points = points[sector_mask(sequence)[rows, columns]]
    there, other = (
        track_points(sequence, points, model=model, hide_graphics=False) for model in ("lucas-kanade", "block-matching")
    )
    back = track_points(sequence, there.positions_px[-1], query_frame=len(sequence) - 1, hide_graphics=False)
    unit = max(frames.shape[1:]) / 256
    returned, agreed = (
        np.linalg.norm(one.positions_px - there.positions_px, axis=2).max(axis=0) / unit for one in (back, other)
    )
    kept = np.flatnonzero((returned <= _RETURN_PX) & (agreed <= WITHIN_PX))[:POINTS]
    if len(kept) < 2:
        raise InputError(f"{name}: {len(kept)} of {len(points)} points are found back; too few for a truth")
    shape = (len(sequence), len(kept))
    labels = tuple(f"P{index + 1}" for index in range(len(kept)))
    return sequence, PointTracks(there.positions_px[:, kept], np.ones(shape), np.ones(shape, dtype=bool), labels, 0)


def made_hard(
    sequence: ImageSequence, truth: PointTracks, kinds: Sequence[str], other: np.ndarray
) -> Iterator[HardClip]:
    """Makes the clips of these kinds; `other` (T, H, W) are frames of another view, for the cut."""
    height, width = sequence.frames.shape[1:]
    rows, columns = (
        np.linspace(0, size - 1, wanted).round().astype(int)
        for size, wanted in zip(other.shape[1:], (height, width), strict=True)
    )
    for kind in kinds:
        if kind == GOOD:
            yield good_clip(sequence, truth)
        else:
            seed = sum(map(ord, f"{sequence.name} {kind}"))
            yield hardened(kind, sequence, truth, other=other[:, rows][:, :, columns], seed=seed)
