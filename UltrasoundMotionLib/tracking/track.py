"""The one call that follows points through a sequence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, run_tracker
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.tracker_wrapping import TrackingOptions, wrapped
from UltrasoundMotionLib.tracking.wrappers.offline_tracks import track_offline


def choose_device(device: str = "auto") -> str:
    """The torch device to use: "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: the device asked for does not exist on this machine.
    """
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if device == "auto":
        return present[0]
    if device.split(":", maxsplit=1)[0] not in present:
        raise InputError(
            f"device {device} is not available on this machine; choose auto or one of {', '.join(present)}"
        )
    return device


def track_points(
    sequence: ImageSequence,
    query_points: np.ndarray,
    *,
    query_frame: int = 0,
    direction: str = "both",
    model: str = "lucas-kanade",
    labels: tuple[str, ...] | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
    on_frame: Callable[[int, FrameTracks], None] | None = None,
    keep_partial: bool = False,
    options: TrackingOptions | None = None,
) -> PointTracks:
    """Follows points given on one frame through all the others, forwards and backwards.

    Args:
        query_points: (N, 2), (x, y) in pixels, origin at the centre of the first pixel.
        query_frame: the frame they were placed on; any frame of the sequence.
        direction: "both", or only "forward" or "backward" from the query frame; the frames left out are NaN.
        model: a name of `available_trackers()`.
        labels: N different names; P1, P2 ... when None.
        device: "auto", "cpu", "cuda" or "mps".
        on_frame: called with each frame's index and points as soon as they are found, before `progress`.
        keep_partial: when `progress` raises, return what was finished rather than pass its exception on.
        options: watch for shadows, look ahead; none of it when None.

    Returns:
        PointTracks over all T frames, with `model` filled in.

    Raises:
        InputError: a sequence of one frame, points outside the image, an unknown model, frame or device.
    """
    if len(sequence) < 2:
        raise InputError(f"{sequence.path or sequence.name}: has one frame; there is nothing to follow points through")
    entry = find_tracker(model)
    device = choose_device(device)
    options = options or TrackingOptions()
    return (track_offline if options.offline else run_tracker)(
        sequence,
        lambda: wrapped(entry.create(device), options),
        query_points,
        labels=labels,
        query_frame=query_frame,
        direction=direction,
        model=entry.name,
        progress=progress,
        on_frame=on_frame,
        keep_partial=keep_partial,
    )
