"""A sequence of 2D frames with its geometry, the input of every tracker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np

from UltrasoundMotionLib.arguments import as_numbers, as_path, as_texts, as_tuple
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.pixel_size import check_pixel_size


@runtime_checkable
class FrameSource(Protocol):
    """Frames that are read one at a time: a numpy array (T, H, W), or a lazy reader.

    A source keeps a bounded number of decoded frames, so that a long clip need not fit in memory.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """The numbers of frames, rows and columns, (T, H, W)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """The type of the frames, uint8 or float32."""
        ...

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns frame `index`, (H, W)."""
        ...


@runtime_checkable
class FilledFrameSource(Protocol):
    """A frame source that fills pixels which do not show tissue."""

    def filled(self, index: int) -> np.ndarray:
        """Returns the pixels of frame `index` that were filled, (H, W) bool."""
        ...


@dataclass(frozen=True)
class ImageSequence:
    """Grey-level frames with spacing, times, and position and orientation in space.

    Attributes:
        frames: (T, H, W) uint8 or float32; an array or a lazy `FrameSource`.
        spacing_mm: (x, y) size of a pixel in mm, or None when unknown (a video, an uncalibrated export).
            Unknown is never replaced by 1.0 silently: lengths in mm are then not defined.
        times_s: (T,) strictly increasing frame times in seconds, or None when the frame rate is unknown.
        origin_mm: LPS position of the centre of the first pixel.
        direction: (3, 3), columns are the LPS unit vectors of increasing x, increasing y, and their normal.
        name: its name in a scene or a table.
        path: its file or folder, if any (used in error messages).
        frame_fields: per-frame metadata by name, each (T,) strings (PLUS transforms and their status, for example).
        notes: remarks for the user on how it was read (rescaled spacing, colour converted to grey ...), one line each.

    Raises:
        InputError: a shape, size or value that does not fit the above.
    """

    frames: FrameSource
    spacing_mm: tuple[float, float] | None = None
    times_s: np.ndarray | None = None
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: np.ndarray = field(default_factory=lambda: np.eye(3))
    name: str = "sequence"
    path: Path | None = None
    frame_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.path is not None:
            object.__setattr__(self, "path", as_path(self.path))
        where = f"{self.path}: " if self.path else ""
        if not (hasattr(self.frames, "shape") and hasattr(self.frames, "dtype")):
            raise InputError(f"{where}frames: expected an array (T, H, W), got {type(self.frames).__name__}")
        shape = tuple(self.frames.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(
                f"{where}frames must be (T, H, W) with at least one frame and one pixel, got shape {shape}"
            )
        if np.dtype(self.frames.dtype) not in (np.dtype(np.uint8), np.dtype(np.float32)):
            raise InputError(f"{where}frames must be uint8 or float32, got {self.frames.dtype}")
        if self.spacing_mm is not None:
            spacing = as_tuple(self.spacing_mm, f"{where}spacing_mm", 2)
            if not all(np.isfinite(value) and value > 0 for value in spacing):
                raise InputError(f"{where}spacing must be two positive numbers in mm (x, y), got {self.spacing_mm}")
            check_pixel_size(where, spacing)
            object.__setattr__(self, "spacing_mm", spacing)
        if self.times_s is not None:
            times = as_numbers(self.times_s, f"{where}times_s").copy()
            if times.shape != (shape[0],):
                raise InputError(f"{where}{shape[0]} frames but frame times of shape {times.shape}")
            if not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
                raise InputError(f"{where}frame times must be finite and strictly increasing")
            times.setflags(write=False)
            object.__setattr__(self, "times_s", times)
        origin = as_tuple(self.origin_mm, f"{where}origin_mm", 3)
        if not np.all(np.isfinite(origin)):
            raise InputError(f"{where}origin must be three finite numbers in mm (LPS), got {self.origin_mm}")
        object.__setattr__(self, "origin_mm", origin)
        direction = as_numbers(self.direction, f"{where}direction").copy()
        if direction.shape != (3, 3) or not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
            raise InputError(
                f"{where}direction must be a 3x3 matrix with orthonormal columns, got {direction.tolist()}"
            )
        direction.setflags(write=False)
        object.__setattr__(self, "direction", direction)
        object.__setattr__(self, "frame_fields", _checked_fields(self.frame_fields, shape[0], where))
        object.__setattr__(self, "notes", as_texts(self.notes, f"{where}notes"))

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    @property
    def frame_size(self) -> tuple[int, int]:
        """The size (W, H) in pixels, in the order of a point's (x, y)."""
        return int(self.frames.shape[2]), int(self.frames.shape[1])

    @property
    def frame_rate_hz(self) -> float | None:
        """The mean number of frames per second, or None if the times are unknown or there is one frame."""
        if self.times_s is None or len(self) < 2:
            return None
        return (len(self) - 1) / float(self.times_s[-1] - self.times_s[0])

    def frame(self, index: int) -> np.ndarray:
        """Returns frame `index` as float32 (H, W); grey levels as stored (0 to 255 for uint8).

        Raises:
            InputError: index out of range, or values that are not finite.
        """
        if not 0 <= index < len(self):
            raise InputError(
                f"{self.path or self.name}: frame {index} does not exist; there are {len(self)} (0 to {len(self) - 1})"
            )
        frame = np.asarray(self.frames[index])
        if frame.dtype != np.float32:
            return frame.astype(np.float32)
        if not np.all(np.isfinite(frame)):
            raise InputError(f"{self.path or self.name}: frame {index} holds values that are not finite")
        return frame

    def iterate(self, start: int = 0, step: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (index, frame) from `start` to the last frame (step 1) or the first (step -1), read one at a time."""
        stop = len(self) if step > 0 else -1
        for index in range(start, stop, step):
            yield index, self.frame(index)

    def pixels_to_lps_mm(self, points_px: np.ndarray) -> np.ndarray:
        """Converts points (..., 2) in pixels to LPS mm (..., 3); a pixel counts as 1 mm if the spacing is unknown."""
        spacing = np.asarray(self.spacing_mm or (1.0, 1.0))
        return np.asarray(points_px, dtype=np.float64) * spacing @ self.direction[:, :2].T + np.asarray(self.origin_mm)

    def lps_mm_to_pixels(self, points_mm: np.ndarray) -> np.ndarray:
        """Converts points (..., 3) in LPS mm to pixels (..., 2), projected on the image plane along its normal."""
        spacing = np.asarray(self.spacing_mm or (1.0, 1.0))
        return (np.asarray(points_mm, dtype=np.float64) - np.asarray(self.origin_mm)) @ self.direction[:, :2] / spacing


def _checked_fields(given: Mapping[str, tuple[str, ...]], count: int, where: str) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(given, Mapping):
        raise InputError(f"{where}frame_fields: expected texts of each frame by name, got {type(given).__name__}")
    fields = {key: as_texts(values, f"{where}frame field {key}") for key, values in given.items()}
    for key, values in fields.items():
        if len(values) != count:
            raise InputError(f"{where}{count} frames but {len(values)} values of the frame field {key}")
    return MappingProxyType(fields)
