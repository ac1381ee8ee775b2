"""Frames at the size that a whole-clip network was trained with, and points there and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks

_FRAMES_AT_ONCE = 16
_WHITE = 255.0


@dataclass(frozen=True)
class ClipResizing:
    """The change between the pixels of a clip and those of a network's images.

    Attributes:
        clip_shape: (H, W) of the clip's frames.
        network_shape: (h, w) of the network's images.
        keep_corners: whether the centres of the corner pixels stay where they were; otherwise the outer edges do.
    """

    clip_shape: tuple[int, int]
    network_shape: tuple[int, int]
    keep_corners: bool = False

    def images(self, frames: np.ndarray, device: torch.device) -> Tensor:
        """Returns images (T, 1, h, w) float32 of frames (T, H, W) in [0, 255], bilinear without a low-pass filter."""
        images = torch.empty((len(frames), 1, *self.network_shape), device=device)
        for first in range(0, len(frames), _FRAMES_AT_ONCE):
            chunk = torch.tensor(np.array(frames[first : first + _FRAMES_AT_ONCE], dtype=np.float32), device=device)
            images[first : first + len(chunk)] = F.interpolate(
                chunk[:, None], self.network_shape, mode="bilinear", align_corners=self.keep_corners
            )
        return images

    def to_network(self, points_px: np.ndarray, device: torch.device) -> Tensor:
        """Returns points (..., 2) float32 of the network's images from points of the clip."""
        return torch.tensor((points_px + self._edge) * self._scale - self._edge, dtype=torch.float32, device=device)

    def to_clip(self, points: Tensor) -> np.ndarray:
        """Returns points (..., 2) px float64 of the clip from points of the network's images."""
        return (points.cpu().numpy().astype(np.float64) + self._edge) / self._scale - self._edge

    def tracks(self, trajectories: Tensor, query_points: np.ndarray) -> ClipTracks:
        """Returns the tracks of trajectories (T, N, 2) of the network's images: on the first frame the query points
        (N, 2) px, elsewhere positions inside the frame, not visible where the network's lies outside.
        """
        positions = self.to_clip(trajectories)
        positions[0] = query_points
        lowest, highest = np.array([-0.5, -0.5]), np.array(self.clip_shape[::-1]) - 0.5
        visible = np.all((positions >= lowest) & (positions <= highest), axis=2)
        visible[0] = True
        positions[1:] = np.clip(positions[1:], 0, highest - 0.5)
        return ClipTracks(positions, visible.astype(np.float64), visible)

    @property
    def _scale(self) -> np.ndarray:
        """The network's pixels for one of the clip, (x, y)."""
        between = 1 if self.keep_corners else 0  # n pixels have n - 1 steps between the first centre and the last
        network = np.array(self.network_shape[::-1], dtype=np.float64) - between
        return network / np.maximum(np.array(self.clip_shape[::-1]) - between, 1)

    @property
    def _edge(self) -> float:
        """Distance from the centre of the first pixel to the point that stays where it was."""
        return 0.0 if self.keep_corners else 0.5


def as_grey_levels(frames: np.ndarray) -> np.ndarray:
    """Returns frames (T, H, W) with values in [0, 255]: those that go beyond, scaled as a whole."""
    low, high = float(frames.min()), float(frames.max())
    if low >= 0 and high <= _WHITE:
        return frames
    return (frames - low) * np.float32(_WHITE / max(high - low, 1e-12))
