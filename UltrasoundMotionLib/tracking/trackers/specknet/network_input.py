"""Conversion of frames of any size and grey scale to SpeckNet's input, and of positions both ways."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MULTIPLE = 16
BRIGHT_PERCENTILE = 99.5


@dataclass(frozen=True)
class GreyScale:
    """Grey values as (value - offset) / range; taken from the query frame and kept for the whole clip, so that frames
    do not depend on each other.
    """

    offset: float
    range: float

    @classmethod
    def of(cls, frame: Tensor) -> GreyScale:
        """Takes the range from the lowest grey value (0) to the 99.5th percentile of the brighter ones (1): black
        borders do not count.
        """
        offset = frame.min()
        brighter = frame[frame > offset]
        if len(brighter) == 0:
            return cls(float(offset), 1.0)
        rank = min(len(brighter) - 1, int(BRIGHT_PERCENTILE / 100 * len(brighter)))
        return cls(float(offset), float(brighter.sort().values[rank] - offset))

    def apply(self, frames: Tensor) -> Tensor:
        return (frames - self.offset) / self.range


@dataclass(frozen=True)
class NetworkGrid:
    """Grid of the network's input: frames of (height, width) brought to a longer side of `input_size`, aspect kept, and
    padded to multiples of 16 at the right and below.

    Attributes:
        height / width: of the frame.
        valid_height / valid_width: of the frame on the network's input.
    """

    height: int
    width: int
    valid_height: int
    valid_width: int

    @classmethod
    def of(cls, height: int, width: int, input_size: int = 512) -> NetworkGrid:
        scale = input_size / max(height, width)
        return cls(height, width, max(MULTIPLE, round(height * scale)), max(MULTIPLE, round(width * scale)))

    @property
    def valid_size(self) -> tuple[int, int]:
        """Height and width without padding."""
        return self.valid_height, self.valid_width

    @property
    def pixels_per_frame_pixel(self) -> float:
        """Pixels of the input for one of the frame (the mean of both axes, which differ by rounding only)."""
        return 0.5 * (self.valid_height / self.height + self.valid_width / self.width)

    def resize(self, frames: Tensor) -> Tensor:
        """Converts frames (B, height, width), grey values scaled, to the network's input (B, 1, H, W)."""
        values = frames[:, None]
        if self.valid_size != (self.height, self.width):
            # Enlarging needs no anti-aliasing: the values are the same, and it costs a tenth.
            shrinks = self.valid_height < self.height or self.valid_width < self.width
            values = F.interpolate(values, self.valid_size, mode="bilinear", align_corners=False, antialias=shrinks)
        below, right = -self.valid_height % MULTIPLE, -self.valid_width % MULTIPLE
        return F.pad(values, (0, right, 0, below)) if below or right else values

    def to_network(self, points: Tensor) -> Tensor:
        """Converts positions (..., 2) in the frame to positions on the input."""
        return (points + 0.5) * self._scale(points) - 0.5

    def to_frame(self, points: Tensor) -> Tensor:
        """Converts positions (..., 2) on the input to positions in the frame."""
        return (points + 0.5) / self._scale(points) - 0.5

    def _scale(self, like: Tensor) -> Tensor:
        return torch.tensor(
            [self.valid_width / self.width, self.valid_height / self.height], dtype=like.dtype, device=like.device
        )
