"""A small picture of a case: for tracks the frame on which a point is least certain, with the points."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.cohort.manifest import CohortCase
from UltrasoundMotionLib.errors import UltrasoundMotionError

_SIDE = 160
_SURE, _DOUBTFUL = (60, 220, 90), (240, 70, 60)
_VISIBLE_ABOVE = 0.5


def thumbnail_png(case: CohortCase, folder: Path) -> bytes | None:
    """Returns a PNG of at most 160 pixels; None where a case has no picture or its input is not there any more.

    Args:
        folder: of the case's results.
    """
    try:
        pixels = _of_tracks(case, folder) if case.verb == "track" else _of_images(case)
    except (UltrasoundMotionError, OSError, RuntimeError):
        return None
    return None if pixels is None else _encode(pixels)


def _of_tracks(case: CohortCase, folder: Path) -> np.ndarray:
    from UltrasoundMotionLib.images.sequence_files import read_sequence
    from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv

    tracks = read_tracks_csv(folder / "tracks.csv")
    known = np.isfinite(tracks.positions_px).all(axis=2)
    frame = int(np.argmin(np.where(known, tracks.confidence, 1.0).min(axis=1)))
    pixels, step = _small(read_sequence(case.files[0]).frame(frame))
    for (x, y), confidence, seen in zip(
        tracks.positions_px[frame] / step, tracks.confidence[frame], known[frame], strict=True
    ):
        if seen:
            row, column = round(float(y)), round(float(x))
            box = slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2)
            pixels[box] = _SURE if confidence > _VISIBLE_ABOVE else _DOUBTFUL
    return pixels


def _of_images(case: CohortCase) -> np.ndarray | None:
    """Returns the middle slice of the fixed image of a registration; None for other verbs."""
    if case.verb != "register":
        return None
    from UltrasoundMotionLib.images.volume_files import read_volume

    array = np.asarray(read_volume(case.files[0]).array)
    return _small(array[len(array) // 2] if array.ndim == 3 else array)[0]


def _small(frame: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns a frame (H, W) as colours (h, w, 3) uint8 of at most 160 pixels, and how many pixels became one."""
    step = max(1, -(-max(frame.shape) // _SIDE))
    small = np.asarray(frame[::step, ::step], dtype=np.float64)
    low, high = np.percentile(small, (0.5, 99.5))
    grey = np.clip(255 * (small - low) / max(high - low, 1e-9), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), step


def _encode(pixels: np.ndarray) -> bytes:
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thumbnail.png"
        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(path))
        return path.read_bytes()
