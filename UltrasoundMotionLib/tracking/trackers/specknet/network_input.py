"""The way from a frame of any size and grey scale to SpeckNet's input, and of positions to and fro."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MULTIPLE = 16
BRIGHT_PERCENTILE = 99.5


@dataclass(frozen=True)
class GreyScale:
    """Grey values as (value - offset) / range; taken from the query frame and kept for the whole clip, so that a frame
    changes nothing of another.
    """

    offset: float
    range: float

    @classmethod
    def of(cls, frame: Tensor) -> GreyScale:
        """From the lowest grey value (0) to the 99.5th percentile of what is brighter than it (1): black borders do not
        count.
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
    """Frames of (height, width) brought to a longer side of `input_size`, aspect kept, and padded to multiples of 16 at
    the right and below.

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
        """Height and width that are no padding."""
        return self.valid_height, self.valid_width

    @property
    def pixels_per_frame_pixel(self) -> float:
        """Pixels of the input for one of the frame (the mean of both axes, which differ by rounding only)."""
        return 0.5 * (self.valid_height / self.height + self.valid_width / self.width)

    def resize(self, frames: Tensor) -> Tensor:
        """Frames (B, height, width), grey values scaled, as the network's input (B, 1, H, W)."""
        values = frames[:, None]
        if self.valid_size != (self.height, self.width):
            values = F.interpolate(values, self.valid_size, mode="bilinear", align_corners=False, antialias=True)
        below, right = -self.valid_height % MULTIPLE, -self.valid_width % MULTIPLE
        return F.pad(values, (0, right, 0, below)) if below or right else values

    def to_network(self, points: Tensor) -> Tensor:
        """Positions (..., 2) in the frame as positions on the input."""
        return (points + 0.5) * self._scale(points) - 0.5

    def to_frame(self, points: Tensor) -> Tensor:
        """Positions (..., 2) on the input as positions in the frame."""
        return (points + 0.5) / self._scale(points) - 0.5

    def _scale(self, like: Tensor) -> Tensor:
        return torch.tensor(
            [self.valid_width / self.width, self.valid_height / self.height], dtype=like.dtype, device=like.device
        )
