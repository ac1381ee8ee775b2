"""SpeckNet as an absolute search: its cost volume read as a measurement with a covariance, an evidence and a
visibility.

The published network takes the highest cell of the whole frame. Here what is already believed about the position is a
prior over the cells (the paper's future work: temporal priors), so that of two places that look alike the expected one
wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.device import one_thread
from UltrasoundMotionLib.tracking.matching.absolute_search import Finding
from UltrasoundMotionLib.tracking.matching.matcher import inverse_2x2
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import sample_cells, soft_argmax_at, to_cells
from UltrasoundMotionLib.tracking.trackers.specknet.network import STRIDES
from UltrasoundMotionLib.tracking.trackers.specknet.search import SpeckNetSearch


@dataclass(frozen=True)
class SpeckNetFindingConfig:
    """Settings by which a cost volume becomes a finding. Chosen on tuning phantoms, so that predicted and actual errors
    agree (Docs/concepts/specknet.md).

    Attributes:
        likelihood_weight: log-likelihood for one unit of the log volume.
        contrast_power: power that the three volumes are raised to, in place of the network's own.
        peak_radius: radius, in cells, of the soft argmax around the cell that prior and likelihood choose.
        error_at_one / error_power: standard deviation of the position, in pixels of a frame whose longer side has 256,
            when the volume's own spread is one such pixel, and the power of the spread that it grows by (a broad peak
            is worse than its breadth).
        floor_deviation: standard deviation, in such pixels, that is always added.
        visible_height / visible_slope: log height at which a point is as likely visible as not, and how quickly that
            changes.
    """

    likelihood_weight: float = 0.75
    contrast_power: float = 10.0
    peak_radius: float = 2.0
    error_at_one: float = 0.04
    error_power: float = 3.0
    floor_deviation: float = 0.7
    visible_height: float = -6.7
    visible_slope: float = 1.33


class SpeckNetAbsolute:
    """Implements `AbsoluteSearch`; keeps the query points' features and the cost volumes of the last frames."""

    def __init__(
        self, search: SpeckNetSearch, config: SpeckNetFindingConfig | None = None, frames_at_once: int = 1
    ) -> None:
        self.config = config or SpeckNetFindingConfig()
        self.frames_at_once = frames_at_once
        self._search = search
        self._log_volumes: Tensor | None = None

    @torch.inference_mode()
    def start(self, frame: np.ndarray, query_points: np.ndarray) -> None:
        """Implements `AbsoluteSearch.start`."""
        self._search.start(frame, query_points)

    @torch.inference_mode()
    def add_frames(self, frames: np.ndarray) -> None:
        """Implements `AbsoluteSearch.add_frames`."""
        self._frames = frames
        self._log_volumes = None

    @torch.inference_mode()
    def find(self, index: int, expected: np.ndarray, covariance: np.ndarray) -> Finding:
        """Implements `AbsoluteSearch.find`."""
        return self._read(self._volumes()[index], expected, covariance)

    def _volumes(self) -> Tensor:
        """Returns the cost volumes (K, N, h, w) of the last frames, computed when they are first asked for."""
        if self._log_volumes is None:
            self._log_volumes = self._search.log_volumes(self._frames)
        return self._log_volumes

    @one_thread()
    def _read(self, log_volume: Tensor, expected: np.ndarray, covariance: np.ndarray) -> Finding:
        config, grid = self.config, self._search.grid
        pixels = grid.pixels_per_frame_pixel
        to_cell = pixels / STRIDES[0]
        centre = to_cells(grid.to_network(_like(expected, log_volume)), STRIDES[0])
        precision = _like(inverse_2x2(covariance * to_cell**2), log_volume)
        best = _likeliest_cells(log_volume, config.likelihood_weight, centre, precision)
        peak = soft_argmax_at(log_volume[None], best[None], config.peak_radius)
        points = grid.to_frame(peak.points[0])
        here = sample_cells(log_volume[:, None], centre[:, None])[:, 0, 0]
        # The volume where it was found, interpolated as it is where it was expected, so that the two compare.
        there = sample_cells(log_volume[:, None], to_cells(peak.points[0], STRIDES[0])[:, None])[:, 0, 0]
        unit = max(grid.height, grid.width) / 256
        moment = peak.covariance[0] / pixels**2
        spread = moment.diagonal(dim1=1, dim2=2).mean(-1).clamp(min=1e-6).sqrt() / unit
        growth = (config.error_at_one * spread ** (config.error_power - 1)).square()
        return Finding(
            points=_array(points),
            covariance=_array(moment * growth[:, None, None]) + (config.floor_deviation * unit) ** 2 * np.eye(2),
            likelihood=_array(config.likelihood_weight * there),
            expected_likelihood=_array(config.likelihood_weight * here),
            visibility=_array(torch.sigmoid((peak.log_height[0] - config.visible_height) / config.visible_slope)),
        )


def _likeliest_cells(log_volume: Tensor, weight: float, centre: Tensor, precision: Tensor) -> Tensor:
    """Returns the index (N,) of the cell with the greatest posterior: `weight` times the log volume (N, h, w) plus the
    logarithm of a Gaussian prior around `centre` (N, 2) with `precision` (N, 2, 2), all in cells.
    """
    height, width = log_volume.shape[1:]
    x = torch.arange(width, device=centre.device) - centre[:, 0, None]
    y = torch.arange(height, device=centre.device) - centre[:, 1, None]
    along_x, along_y = -0.5 * precision[:, 0, 0, None] * x.square(), -0.5 * precision[:, 1, 1, None] * y.square()
    score = torch.add(along_x[:, None], log_volume, alpha=weight).add_(along_y[:, :, None])
    score.sub_((precision[:, 0, 1, None] * y)[:, :, None] * x[:, None])
    return score.flatten(1).argmax(dim=1)


def _like(values: np.ndarray, tensor: Tensor) -> Tensor:
    return torch.tensor(values, dtype=tensor.dtype, device=tensor.device)


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
