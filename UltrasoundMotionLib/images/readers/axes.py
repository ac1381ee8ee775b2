"""Axes and geometry of sequence files: which axis is x, y or time, and the spacing and direction of the plane."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.stored_frames import Pixels, frames_first

TIME_KINDS = frozenset({"list", "time"})
_UNCALIBRATED_NOTE = (
    "spacing is exactly 1.0: probably not calibrated, so taken as unknown (give the spacing if it is known)"
)
SPACING_KEY = "UltrasoundMotion.spacing"
"""Header field of this library's writers, `known` or `unknown`, so that a true spacing of 1.0 mm is read as known."""


@dataclass(frozen=True)
class SequenceAxes:
    """The axes of a 2D + time image, numbered from the fastest without the components.

    `through` is the through-plane axis of size 1, if stored; `assumed` is True if time is the last axis for want of one
    that is marked as time.
    """

    x: int
    y: int
    time: int | None
    through: int | None
    assumed: bool = False

    def notes(self, frames: int, *evidence: Sized | None) -> tuple[str, ...]:
        """Returns a note if nothing but its place says that the last axis is time: the file may be a volume.

        Args:
            frames: the number of frames.
            evidence: frame times, or per-frame fields; any that is not None and not empty is evidence of time.
        """
        if not self.assumed or frames < 2 or any(one is not None and len(one) > 0 for one in evidence):
            return ()
        return (
            f"no axis is marked as time, so the last one is taken for it, with {frames} frames; a volume is no clip",
        )


def sequence_axes(path: Path, sizes: Sequence[int], kinds: Sequence[str | None]) -> SequenceAxes:
    """Finds the axes of a 2D + time image.

    An axis of kind `list` or `time` is time, at any position. Without one, trailing axes of size 1 are dropped, and the
    last of three (or four) is time: a volume is read as a stack of frames. A remaining third axis must have size 1.

    Raises:
        InputError: not two image axes, or a volume at every time.
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
    return SequenceAxes(space[0], space[1], time, through, assumed=not marked and time is not None)


def arrange(pixels: Pixels, axes: SequenceAxes, component_axis: int | None = None) -> Pixels:
    """Transposes stored pixels to (T, H, W) or (T, H, W, C).

    Args:
        pixels: the stored array, slowest axis first.
        axes: its axes, numbered from the fastest without the components.
        component_axis: position of the components in the stored array, if any.
    """
    dimensions = pixels().ndim
    # numpy counts from the slowest axis; `place[k]` is the position of the k-th fastest axis without the components
    place = [axis for axis in reversed(range(dimensions)) if axis != component_axis]
    kept = [place[axes.y], place[axes.x], *([] if component_axis is None else [component_axis])]
    first = kept[0] if axes.time is None else place[axes.time]
    order = kept if axes.time is None else [first, *kept]
    single = tuple(axis for axis in range(dimensions) if axis not in order)
    drop_single: tuple[Any, ...] = (..., *(0 for _ in single))
    if axes.time is None:
        return lambda: pixels().transpose(*order, *single)[(None, *drop_single)]
    by_frame = frames_first(pixels, first)
    # positions of the axes once time is first
    moved = [axis + (axis < first) if axis != first else 0 for axis in (*order, *single)]
    return lambda: by_frame().transpose(moved)[drop_single]


def plane_geometry(
    path: Path, x_step: np.ndarray, y_step: np.ndarray, through: np.ndarray | None = None
) -> tuple[tuple[float, float], np.ndarray]:
    """Returns the spacing (x, y) in mm and the direction (3, 3) of a plane.

    Args:
        path: for messages.
        x_step, y_step: (3,) LPS mm from one pixel to the next.
        through: (3,) the stored through-plane axis, if any; it decides the sign of the normal, which is x cross y
            without it.

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
    # the square root leaves rounding noise in the last digit; a stored 0.3 should be read as 0.3
    x_spacing, y_spacing = (float(f"{length:.14g}") for length in lengths)
    return (x_spacing, y_spacing), np.column_stack([unit, normal])


def check_colour(path: Path, components: int, dtype: np.dtype, frames: int) -> tuple[str, ...]:
    """Checks components that a file does not call colour, and returns notes.

    Args:
        path: for messages.
        components: of a pixel.
        dtype: of a component.
        frames: the number of frames if the components are colour.

    Raises:
        InputError: components of a type that colour does not have: a vector image.
    """
    if components < 2:
        return ()
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise InputError(
            f"{path}: has {components} components a pixel of type {dtype.name}: a vector image, such as a "
            "displacement, and no clip"
        )
    if frames > 1 and components > 2:
        return ()
    meaning = {2: "grey and opacity", 3: "red, green and blue", 4: "red, green, blue and opacity"}[components]
    return (
        f"its {components} components were taken for {meaning}; if they are frames, store them along a list or time "
        "axis",
    )


def calibrated_spacing(
    spacing: tuple[float, float], stated: str | None
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Returns the spacing, or None and a note if it is not calibrated.

    A file of this library states `known` or `unknown`; any other spacing of exactly 1.0 x 1.0 is taken as unknown.
    """
    if stated == "known":
        return spacing, ()
    if stated == "unknown":
        return None, ("spacing unknown, as the file states",)
    if np.allclose(spacing, 1.0, rtol=0, atol=1e-9):
        return None, (_UNCALIBRATED_NOTE,)
    return spacing, ()
