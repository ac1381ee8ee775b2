"""The motions of the frames of a sequence, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.motion import Motion
from UltrasoundMotionLib.fields.image_grid import ImageGrid


@dataclass(frozen=True)
class FrameIndex:
    """The index of a sequence, as 3D Slicer's sequences have it.

    Attributes:
        values: of each frame, as text: the time or the number.
        name, unit: "time" and "s", or "frame" and "".
    """

    values: tuple[str, ...]
    name: str = "frame"
    unit: str = ""

    @classmethod
    def of_times(cls, count: int, times_s: np.ndarray | Sequence[float] | None) -> FrameIndex:
        """Returns the index of frames with times in seconds, or of their numbers where these are not known."""
        if times_s is None:
            return cls(tuple(map(str, range(count))))
        return cls(tuple(repr(float(time)) for time in times_s), "time", "s")

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class MotionSequence:
    """A motion for each frame, from points of the reference to points of the frame.

    Attributes:
        index: of the frames.
        read: returns the motion of a frame by its number.
        carries_points: whether 3D Slicer's transform carries what lies on the reference along with the tissue (a
            transform to parent, "modeling"); otherwise it puts each frame onto the reference ("resampling"). The
            motions are the same.
        notes: remarks for the user, one line each.
    """

    index: FrameIndex
    read: Callable[[int], Motion] = field(repr=False)
    carries_points: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.index) == 0:
            raise InputError("a sequence of motions without a frame")

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, frame: int) -> Motion:
        if not 0 <= frame < len(self):
            raise IndexError(frame)
        return self.read(frame)

    def __iter__(self) -> Iterator[Motion]:
        return (self.read(frame) for frame in range(len(self)))

    @property
    def grid(self) -> ImageGrid | None:
        """The grid of the first motion that has one; None where all are linear or parametric."""
        return next((motion.grid for motion in self if motion.grid is not None), None)

    @property
    def is_linear(self) -> bool:
        """True if every motion is a matrix."""
        return all(motion.matrix is not None for motion in self)
