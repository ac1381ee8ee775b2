"""Settings of the tracker `pipspp`."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError

_SIDE_UNIT = 8


@dataclass(frozen=True)
class PipsPlusPlusSettings:
    """Settings of the run.

    Attributes:
        iterations: of the refinement; the official evaluation takes 16.
        image_size: sides (height, width) in pixels to which frames are resized, multiples of 8; None: those that the
            weights were trained for, as their card says.
        window: number of frames that the network sees together, at least 2; the official evaluation takes 128.
    """

    iterations: int = 16
    image_size: tuple[int, int] | None = None
    window: int = 128

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise InputError(f"iterations: expected a number from 1 on, got {self.iterations}")
        if any(side < _SIDE_UNIT or side % _SIDE_UNIT for side in self.image_size or ()):
            raise InputError(f"image_size: expected multiples of {_SIDE_UNIT}, got {self.image_size}")
        if self.window < 2:
            raise InputError(f"window: expected a number of frames from 2 on, got {self.window}")
