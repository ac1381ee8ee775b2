"""Settings of the tracker `echotracker`."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError

_SIDE_UNIT = 8


@dataclass(frozen=True)
class EchoTrackerSettings:
    """Settings of the run.

    Attributes:
        iterations: of the refinement; the network was trained with 4.
        image_size: sides (height, width) in pixels to which frames are resized, multiples of 8; None: those that the
            weights were trained for, as their card says.
    """

    iterations: int = 4
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise InputError(f"iterations: expected a number from 0 on, got {self.iterations}")
        if any(side < _SIDE_UNIT or side % _SIDE_UNIT for side in self.image_size or ()):
            raise InputError(f"image_size: expected multiples of {_SIDE_UNIT}, got {self.image_size}")
