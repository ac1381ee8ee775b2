"""Corrections of tracked points by a user: where a point is on a frame, or that it is lost there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence


@dataclass(frozen=True)
class Correction:
    """A user's statement about one point on one frame.

    Attributes:
        frame: from 0.
        label: of the point.
        position_px: (x, y) in pixels where the user saw the point; None: it is lost there.
        accepted: True where the user accepted the position that was tracked.
    """

    frame: int
    label: str
    position_px: tuple[float, float] | None = None
    accepted: bool = False

    @property
    def lost(self) -> bool:
        """True where the user marked the point as lost."""
        return self.position_px is None


@dataclass(frozen=True, eq=False)
class CorrectedFrames:
    """Corrections checked against their sequence, as arrays. Made by `CorrectedFrames.on`.

    Attributes:
        labels: (N,) different names.
        positions_px: (T, N, 2) float64, (x, y) where a point was placed; NaN elsewhere.
        lost: (T, N) bool, where a point was marked as lost.
    """

    labels: tuple[str, ...]
    positions_px: np.ndarray
    lost: np.ndarray

    @classmethod
    def on(
        cls,
        sequence: ImageSequence,
        corrections: Iterable[Correction],
        *,
        labels: Sequence[str] | None = None,
        source: object = "corrections",
    ) -> CorrectedFrames:
        """Checks corrections against a sequence.

        Args:
            labels: the points there are; those of the corrections, in the order of their first use, when None.
            source: name of their file for messages.

        Raises:
            InputError: an unknown label, a frame that does not exist, a position outside the image or not finite, two
                corrections of one point on one frame, a point that is placed on no frame.
        """
        given = list(corrections)
        names = tuple(dict.fromkeys(one.label for one in given)) if labels is None else tuple(labels)
        column_of = {label: column for column, label in enumerate(names)}
        count, (width, height) = len(sequence), sequence.frame_size
        positions = np.full((count, len(names), 2), np.nan)
        lost = np.zeros((count, len(names)), dtype=bool)
        for one in given:
            if one.label not in column_of:
                raise InputError(f"{source}: no point is called {one.label!r}; there are {', '.join(names)}")
            if not 0 <= one.frame < count:
                raise InputError(
                    f"{source}: {one.label} on frame {one.frame}, which does not exist; there are {count}"
                    f" (0 to {count - 1})"
                )
            where = one.frame, column_of[one.label]
            if lost[where] or np.isfinite(positions[where]).any():
                raise InputError(f"{source}: {one.label} is corrected twice on frame {one.frame}")
            if one.position_px is None:
                lost[where] = True
                continue
            x, y = one.position_px
            if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
                raise InputError(
                    f"{source}: {one.label} on frame {one.frame} at ({x:g}, {y:g}) lies outside the image of"
                    f" {width} x {height} pixels"
                )
            positions[where] = x, y
        never = ~np.isfinite(positions[..., 0]).any(axis=0)
        if not names or never.any():
            name = names[int(np.argmax(never))] if names else "no point"
            raise InputError(f"{source}: {name} is placed on no frame; place it on at least one")
        return cls(names, positions, lost)

    @property
    def placed(self) -> np.ndarray:
        """(T, N) bool, where a point was placed."""
        return np.isfinite(self.positions_px[..., 0])

    def frames_of(self, point: int) -> np.ndarray:
        """Returns the frames on which a point was placed, in their order."""
        return np.flatnonzero(self.placed[:, point])

    def __iter__(self) -> Iterator[Correction]:
        """Yields the corrections frame by frame."""
        for frame, point in np.argwhere(self.placed | self.lost).tolist():
            x, y = self.positions_px[frame, point].tolist()
            yield Correction(frame, self.labels[point], None if self.lost[frame, point] else (x, y))
