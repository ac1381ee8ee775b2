"""Which axis of a stored block is x, y or time, and where its plane lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.stored_frames import frames_first

TIME_KINDS = frozenset({"list", "time"})
UNCALIBRATED_NOTE = "spacing is exactly 1.0: probably not calibrated, so taken as unknown (give the spacing if it is known)"
SPACING_KEY = "UltrasoundMotion.spacing"  # known or unknown: written by this library's own writers, so that a true 1.0 mm survives


@dataclass(frozen=True)
class SequenceAxes:
    """Axis numbers, fastest first, components not counted. `through` is the plane's own axis of one slice, if stored."""

    x: int
    y: int
    time: int | None
    through: int | None


def sequence_axes(path: Path, sizes: Sequence[int], kinds: Sequence[str | None]) -> SequenceAxes:
    """Finds the axes of a 2D + time image.

    An axis of kind `list` or `time` is time, wherever it stands. Without one, axes of size 1 at the end are dropped, and the last of three
    (or four) is time: a volume is read as a stack of frames. A remaining third axis must have size 1.

    Raises:
        InputError: not two axes, or a volume at every time.
    """
    axes = list(range(len(sizes)))
    marked = [axis for axis in axes if kinds[axis] in TIME_KINDS]
    if len(marked) > 1:
        raise InputError(f"{path}: has {len(marked)} time axes, expected one")
    time = marked[0] if marked else None
    space = [axis for axis in axes if axis != time]
    if time is None:
        while len(space) > 3 and sizes[space[-1]] == 1:
            space.pop()
        if len(space) >= 3:
            time = space.pop()
    through = None
    while len(space) > 2 and (flat := [axis for axis in reversed(space) if sizes[axis] == 1]):
        through = flat[0]
        space.remove(through)
    if len(space) != 2:
        raise InputError(f"{path}: expected frames of two dimensions in time, got an image of {' x '.join(map(str, sizes))}")
    return SequenceAxes(space[0], space[1], time, through)


def arrange(pixels: np.ndarray, axes: SequenceAxes, has_components: bool) -> np.ndarray:
    """A stored block, slowest axis first and components (if any) last, as (T, H, W) or (T, H, W, C)."""
    count = pixels.ndim - int(has_components)
    place = {axis: count - 1 - axis for axis in range(count)}
    kept = [place[axes.y], place[axes.x]]
    order = ([place[axes.time]] if axes.time is not None else []) + kept + ([count] if has_components else [])
    single = tuple(axis for axis in range(pixels.ndim) if axis not in order)
    if single:
        pixels = pixels.reshape([size for axis, size in enumerate(pixels.shape) if axis not in single])
        order = [axis - sum(other < axis for other in single) for axis in order]
    if axes.time is None:
        return pixels.transpose(order)[None]
    pixels = frames_first(pixels, order[0])
    rest = [axis + (axis < order[0]) for axis in order[1:]]  # where the others went when time moved to the front
    return pixels.transpose([0, *rest])


def plane_geometry(path: Path, x_step: np.ndarray, y_step: np.ndarray, through: np.ndarray | None = None) -> tuple[tuple[float, float], np.ndarray]:
    """Spacing (x, y) in mm and direction (3, 3) from the LPS steps (3,) along x, along y and, if stored, through the plane.

    The third column is the stored one where it is plus or minus the plane's normal, otherwise x cross y.

    Raises:
        InputError: steps that are zero, not finite, or not at right angles.
    """
    steps = np.stack([np.asarray(x_step, dtype=np.float64), np.asarray(y_step, dtype=np.float64)], axis=1)
    lengths = np.linalg.norm(steps, axis=0)
    if not np.all(np.isfinite(lengths)) or np.any(lengths <= 0):
        raise InputError(f"{path}: its pixel axes {steps.T.tolist()} have no length")
    unit = steps / lengths
    if abs(unit[:, 0] @ unit[:, 1]) > 1e-4:
        raise InputError(f"{path}: its pixel axes {unit.T.tolist()} are not at right angles")
    normal = np.cross(unit[:, 0], unit[:, 1])
    if through is not None and np.all(np.isfinite(through)) and np.dot(through, normal) < 0:
        normal = -normal
    # a length is the root of a sum: the last digit is noise, and 0.3 should come back as 0.3
    return tuple(float(f"{length:.14g}") for length in lengths), np.column_stack([unit, normal])


def believable_spacing(spacing: tuple[float, float], stated: str | None) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """The spacing, or None with a note when it is exactly 1.0 twice and the file does not state (`known`, `unknown`) which is meant."""
    if stated == "known":
        return spacing, ()
    if stated == "unknown":
        return None, ("spacing unknown, as the file states",)
    if np.allclose(spacing, 1.0, rtol=0, atol=1e-9):
        return None, (UNCALIBRATED_NOTE,)
    return spacing, ()
