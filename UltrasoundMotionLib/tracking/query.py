"""The points to follow, checked once against their sequence, and the frames in which they are followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.arguments import as_texts
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence

DIRECTIONS = {"both": (1, -1), "forward": (1,), "backward": (-1,)}
"""Steps in time from the query frame, by name."""


@dataclass(frozen=True, eq=False)
class PointQuery:
    """Points on one frame of a sequence, and the direction in which to follow them. Made by `PointQuery.on`.

    Attributes:
        points_px: (N, 2) float64, (x, y).
        labels: (N,) different names.
        frame: the frame of the points.
        direction: a name of `DIRECTIONS`.
        frame_count: of the sequence.
    """

    points_px: np.ndarray
    labels: tuple[str, ...]
    frame: int
    direction: str
    frame_count: int

    @classmethod
    def on(
        cls,
        sequence: ImageSequence,
        points: np.ndarray,
        *,
        labels: Sequence[str] | None = None,
        frame: int = 0,
        direction: str = "both",
    ) -> PointQuery:
        """Returns the query for a sequence.

        Args:
            points: (N, 2), (x, y) in pixels, origin at the centre of the first pixel.
            labels: N different names; P1, P2 ... when None.

        Raises:
            InputError: no point, a wrong shape, a point outside the image or not finite, labels that do not fit, a
                frame or direction that does not exist.
        """
        where = sequence.path or sequence.name
        try:
            positions = np.array(points, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"query points must be numbers (N, 2), got {type(points).__name__}") from None
        if positions.ndim != 2 or positions.shape[1] != 2 or len(positions) == 0:
            raise InputError(f"query points must be (N, 2) with at least one point, got shape {positions.shape}")
        if direction not in DIRECTIONS:
            raise InputError(f"direction must be one of {', '.join(DIRECTIONS)}, got {direction}")
        if not 0 <= frame < len(sequence):
            last = len(sequence) - 1
            raise InputError(f"{where}: query frame {frame} does not exist; there are {len(sequence)} (0 to {last})")
        width, height = sequence.frame_size
        with np.errstate(invalid="ignore"):
            inside = np.all((positions >= -0.5) & (positions <= [width - 0.5, height - 0.5]), axis=1)
        if not inside.all():
            index = int(np.argmin(inside))
            x, y = positions[index]
            raise InputError(
                f"{where}: point {index} at ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels"
            )
        count = len(positions)
        names = tuple(f"P{number + 1}" for number in range(count)) if labels is None else as_texts(labels, "labels")
        if len(names) != count or len(set(names)) != count:
            raise InputError(f"{count} points need {count} different labels, got {list(names)}")
        positions.setflags(write=False)
        return cls(positions, names, frame, direction, len(sequence))

    @property
    def steps(self) -> tuple[int, ...]:
        """1 for forward and -1 for backward, in the order in which they are followed."""
        return DIRECTIONS[self.direction]

    @property
    def reached_count(self) -> int:
        """The number of frames that are followed, the query frame included."""
        forward, backward = self.frame_count - self.frame, self.frame + 1
        return {"forward": forward, "backward": backward}.get(self.direction, self.frame_count)

    def frames(self, step: int) -> range:
        """The frames in one direction, the query frame first."""
        return range(self.frame, self.frame_count if step > 0 else -1, step)
