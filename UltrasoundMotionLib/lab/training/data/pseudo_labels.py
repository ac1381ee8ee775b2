"""Self-supervised training clips: real clips whose trajectories are those on which a tracker agrees with itself.

The teacher is the fused tracker `specknet`, forwards from the first frame and, from where that ended, backwards. A
point counts on the frames on which both ways meet, and only if the way back ends where the way out began (cycle
consistency); what the teacher doubts is not taught. A student that sees the same clip turned, cut and degraded has to
find what the teacher found on the clean one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy import ndimage

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.grey_range import grey_range
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.training.data.training_clip import TrainingClip
from UltrasoundMotionLib.lab.training.data.trajectory_clips import TrajectoryClips
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking import PointTracks

LONGEST = 48
_FEWEST_FRAMES = 8
_MOST_POINTS = 96
_AGREEMENT = 1.5 / 256  # of the longer side of the frame: distance up to which both ways meet


def pseudo_label_clips(
    paths: Sequence[Path], *, weights: Path | str | None = None, progress: Progress = no_progress
) -> TrajectoryClips:
    """Tracks points of real clips there and back, and keeps what agrees.

    Args:
        paths: sequences; the first 48 frames of each are used. The user is responsible for their licences, and that
            none of them is evaluated on.
        weights: of the teacher; None: the installed ones.

    Raises:
        InputError: a file that cannot be read or has fewer than 8 frames; clips on which no point agrees.
    """
    from UltrasoundMotionLib.images import read_sequence

    clips = []
    for index, path in enumerate(paths):
        progress(index, len(paths), Path(path).name)
        clip = _clip_of(read_sequence(path), Path(path).name, weights)
        if clip.visible.any():
            clips.append(clip)
    if not clips:
        raise InputError(f"{paths[0]}: no point is found again on the way back; there is nothing to learn from")
    known = ",".join(f"{clip.name} {clip.trajectories_px.shape}" for clip in clips)
    return TrajectoryClips(
        tuple(clips),
        (),
        f"{len(clips)} real clips with the trajectories on which specknet agreed forwards and backwards: "
        f"{', '.join(clip.name for clip in clips)}",
        crc32(known.encode()),
    )


def _clip_of(sequence: ImageSequence, name: str, weights: Path | str | None) -> TrainingClip:
    from UltrasoundMotionLib.tracking import track_points

    if len(sequence) < _FEWEST_FRAMES:
        raise InputError(f"{name}: has {len(sequence)} frames, pseudo-labels need at least {_FEWEST_FRAMES}")
    low, high = grey_range(sequence)
    frames = np.stack([sequence.frame(index) for index in range(min(len(sequence), LONGEST))])
    frames = np.clip(np.rint((frames - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
    clip, points = ImageSequence(frames), _textured_points(frames[0])
    out = track_points(clip, points, model="specknet", weights=weights, device="cpu", query_frame=0)
    last = len(frames) - 1
    end = out.positions_px[last]
    back = track_points(clip, end, model="specknet", weights=weights, device="cpu", query_frame=last)
    return agreeing_clip(frames, out, back, name)


def agreeing_clip(frames: np.ndarray, out: PointTracks, back: PointTracks, name: str) -> TrainingClip:
    """Returns the clip of two tracks of the same points, each point visible where both ways meet.

    Args:
        frames: (T, H, W) uint8.
        out / back: tracks from the first frame, and from the last one, where `out` ended.
    """
    tolerance = _AGREEMENT * max(frames.shape[1:])
    distance = np.linalg.norm(out.positions_px - back.positions_px, axis=-1)
    closed = distance[0] <= 2 * tolerance
    agree = (distance <= tolerance) & out.visible & closed
    positions = 0.5 * (out.positions_px + back.positions_px)
    kept = np.flatnonzero(agree.sum(axis=0) >= 2)
    return TrainingClip(frames, positions[:, kept].astype(np.float32), agree[:, kept], name)


def _textured_points(frame: np.ndarray) -> np.ndarray:
    """Returns places (N, 2) on a grid, at most 96, those with the most local contrast."""
    side = max(frame.shape)
    grey = frame.astype(np.float64)
    mean = ndimage.uniform_filter(grey, side // 25)
    contrast = np.sqrt(np.maximum(ndimage.uniform_filter(grey**2, side // 25) - mean**2, 0))
    step, border = side // 20, side // 16
    y, x = np.mgrid[border : frame.shape[0] - border : step, border : frame.shape[1] - border : step]
    places = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    order = np.argsort(-contrast[y.ravel(), x.ravel()], kind="stable")[:_MOST_POINTS]
    return places[np.sort(order)]
