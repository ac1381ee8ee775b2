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

    def tracks(
        self,
        trajectories: Tensor,
        query_points: np.ndarray,
        query_frames: np.ndarray | None = None,
        confidence: Tensor | None = None,
        visible: Tensor | None = None,
    ) -> ClipTracks:
        """Returns the tracks of trajectories (T, N, 2) of the network's images.

        Each query point (N, 2) px is where it was given, visible, on its frame (N,), the first when None. Elsewhere
        positions are inside the frame, not visible and with confidence 0 where the network's lies outside.

        Args:
            confidence, visible: (T, N), of the network; 1 and True when None.
        """
        positions = self.to_clip(trajectories)
        highest = np.array(self.clip_shape[::-1]) - 1.0
        inside = np.all((positions >= -0.5) & (positions <= highest + 0.5), axis=2)
        positions = np.clip(positions, 0, highest)
        sure = np.where(inside, 1.0 if confidence is None else confidence.cpu().numpy().astype(np.float64), 0.0)
        seen = inside if visible is None else inside & visible.cpu().numpy()
        frames = np.zeros(len(query_points), dtype=int) if query_frames is None else query_frames
        given = frames, np.arange(len(query_points))
        positions[given], sure[given], seen[given] = query_points, 1.0, True
        return ClipTracks(positions, sure, seen)

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
