"""Which axis of a stored block is x, y or time, and where its plane lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.stored_frames import Pixels, frames_first

TIME_KINDS = frozenset({"list", "time"})
UNCALIBRATED_NOTE = (
    "spacing is exactly 1.0: probably not calibrated, so taken as unknown (give the spacing if it is known)"
)
SPACING_KEY = "UltrasoundMotion.spacing"  # known or unknown: written by this library's own writers, so that a true 1.0 mm survives


@dataclass(frozen=True)
class SequenceAxes:
    """Axis numbers, fastest first, components not counted.

    `through` is the plane's own axis of one slice, if stored.
    """

    x: int
    y: int
    time: int | None
    through: int | None


def sequence_axes(path: Path, sizes: Sequence[int], kinds: Sequence[str | None]) -> SequenceAxes:
    """Finds the axes of a 2D + time image.

    An axis of kind `list` or `time` is time, wherever it stands. Without one, axes of size 1 at the end are dropped,
    and the last of three (or four) is time: a volume is read as a stack of frames. A remaining third axis must have
    size 1.

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
        raise InputError(
            f"{path}: expected frames of two dimensions in time, got an image of {' x '.join(map(str, sizes))}"
        )
    return SequenceAxes(space[0], space[1], time, through)


def arrange(pixels: Pixels, axes: SequenceAxes, component_axis: int | None = None) -> Pixels:
    """A stored block as (T, H, W) or (T, H, W, C).

    Args:
        axes: counted from the fastest, without the components.
        component_axis: where the components are in the stored array (slowest axis first), if any.
    """
    dimensions = pixels().ndim
    # numpy counts from the slowest axis; `place[k]` is where the k-th fastest axis that is not of components stands
    place = [axis for axis in reversed(range(dimensions)) if axis != component_axis]
    kept = [place[axes.y], place[axes.x], *([] if component_axis is None else [component_axis])]
    first = kept[0] if axes.time is None else place[axes.time]
    order = kept if axes.time is None else [first, *kept]
    single = tuple(axis for axis in range(dimensions) if axis not in order)
    if axes.time is None:
        return lambda: pixels().transpose(*order, *single)[(None, ..., *(0 for _ in single))]
    turned = frames_first(pixels, first)
    # where the axes stand once time has moved to the front
    moved = [axis + (axis < first) if axis != first else 0 for axis in (*order, *single)]
    return lambda: turned().transpose(moved)[(..., *(0 for _ in single))]


def plane_geometry(
    path: Path, x_step: np.ndarray, y_step: np.ndarray, through: np.ndarray | None = None
) -> tuple[tuple[float, float], np.ndarray]:
    """Spacing (x, y) in mm and direction (3, 3) from the LPS steps (3,) along x, along y and, if stored, through the
    plane.

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


def believable_spacing(
    spacing: tuple[float, float], stated: str | None
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """The spacing, or None with a note when it is exactly 1.0 twice and the file does not state (`known`, `unknown`)
    which is meant.
    """
    if stated == "known":
        return spacing, ()
    if stated == "unknown":
        return None, ("spacing unknown, as the file states",)
    if np.allclose(spacing, 1.0, rtol=0, atol=1e-9):
        return None, (UNCALIBRATED_NOTE,)
    return spacing, ()
