"""Frames and points as CoTracker3 takes them, and its tracks as the clip's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks
from UltrasoundMotionLib.tracking.network_blocks.clip_resizing import ClipResizing, as_grey_levels
from UltrasoundMotionLib.tracking.trackers.cotracker3.network import STRIDE, CoTracker3, TrackState

_MARGIN = 1 / 64
"""Distance of the support grid from the border, as a fraction of the frame's width."""


@dataclass(frozen=True, eq=False)
class RunSetup:
    """A window as the network takes it.

    Attributes:
        resizing: between the window's pixels and the network's.
        frames: (T, H, W) in [0, 255].
        query_points: (N, 2) px of the window.
        points: (N + S, 2) px of the network, in its precision: the query points and S support points.
        device: of the network.
    """

    resizing: ClipResizing
    frames: np.ndarray
    query_points: np.ndarray
    points: Tensor
    device: torch.device

    @classmethod
    def of(
        cls, network: CoTracker3, frames: np.ndarray, query_points: np.ndarray, support_grid: int, device: torch.device
    ) -> RunSetup:
        """Returns the setup for frames (T, H, W) and query points (N, 2) px, with a square grid of support points."""
        height, width = frames.shape[1:]
        resizing = ClipResizing((height, width), network.config.input_size, keep_corners=True)
        points = resizing.to_network(query_points, device).to(network.token_input.weight.dtype)
        support = _grid(support_grid, network.config.input_size).to(points)
        return cls(resizing, as_grey_levels(frames), query_points, torch.cat([points, support]), device)

    def images(self, first: int, last: int) -> Tensor:
        """Returns images (T, 1, h, w) in [-1, 1] of frames `first` to before `last`."""
        return self.resizing.images(self.frames[first:last], self.device).to(self.points) / 127.5 - 1

    def tracks(self, state: TrackState, query_frames: np.ndarray, visible: Tensor) -> ClipTracks:
        """Returns the query points' tracks; each is where it was given on its frame (N,), and visible there.

        Args:
            visible: (N + S, T), of the network.
        """
        count = len(self.query_points)
        confidence = (state.visibility.sigmoid() * state.confidence.sigmoid())[:count].t()
        trajectories = state.positions[:count].transpose(0, 1) * STRIDE
        return self.resizing.tracks(trajectories, self.query_points, query_frames, confidence, visible[:count].t())


def _grid(side: int, shape: tuple[int, int]) -> Tensor:
    """Returns side * side points (S, 2), row by row, over images (H, W) within a margin."""
    height, width = shape
    margin = width * _MARGIN
    rows = torch.linspace(margin, height - margin, side)
    columns = torch.linspace(margin, width - margin, side)
    return torch.cartesian_prod(rows, columns).flip(1) if side else torch.zeros(0, 2)
