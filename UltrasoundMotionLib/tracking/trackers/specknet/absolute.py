"""SpeckNet as an absolute search: its cost volume read as a measurement with a covariance, an evidence and a
visibility.

The published network takes the highest cell of the whole frame. Here what is already believed about the position is a
prior over the cells (the paper's future work: temporal priors), so that of two places that look alike the expected one
wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.device import one_thread
from UltrasoundMotionLib.tracking.matching.absolute_search import Finding
from UltrasoundMotionLib.tracking.matching.matcher import inverse_2x2
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import Features, sample_cells, soft_argmax_at, to_cells
from UltrasoundMotionLib.tracking.trackers.specknet.network import STRIDES
from UltrasoundMotionLib.tracking.trackers.specknet.search import SpeckNetSearch
from UltrasoundMotionLib.tracking.trackers.specknet.temporal_head import HeadState, TemporalHead


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
        self,
        search: SpeckNetSearch,
        config: SpeckNetFindingConfig | None = None,
        frames_at_once: int = 1,
        head: TemporalHead | None = None,
    ) -> None:
        self.config = config or SpeckNetFindingConfig()
        self.frames_at_once = frames_at_once
        self._search, self._head = search, head

    @torch.inference_mode()
    def start(self, frame: np.ndarray, query_points: np.ndarray) -> None:
        """Implements `AbsoluteSearch.start`."""
        self._search.start(frame, query_points)
        self._state = HeadState(len(self._head.layers)) if self._head is not None else None

    @torch.inference_mode()
    def add_frames(self, frames: np.ndarray) -> None:
        """Implements `AbsoluteSearch.add_frames`."""
        self._frames = frames
        self._volumes: tuple[Features, Tensor] | None = None
        self._corrected = -1

    @torch.inference_mode()
    def find(self, index: int, expected: np.ndarray, covariance: np.ndarray) -> Finding:
        """Implements `AbsoluteSearch.find`; the temporal head corrects the first finding in each frame."""
        if self._volumes is None:  # volumes are computed when they are first asked for
            cosines = self._search.cosines(self._frames)
            self._volumes = cosines, self._search.log_product(cosines)
        finding = self._read(self._volumes[1][index], expected, covariance)
        if self._head is None or index <= self._corrected:
            return finding
        self._corrected = index
        return self._correct(index, expected, finding)

    @one_thread()
    def _correct(self, index: int, expected: np.ndarray, finding: Finding) -> Finding:
        """Replaces positions within the head's window by what the temporal head makes of them."""
        assert self._head is not None
        assert self._state is not None
        assert self._volumes is not None
        grid, cosines, log_volume = self._search.grid, self._volumes[0], self._volumes[1][index]
        estimates = grid.to_network(_like(expected, log_volume))
        first, second, third = (values[index : index + 1] for values in cosines)
        costs = self._head.costs((first, second, third), estimates[None])[0]
        answer = self._head.step(costs, estimates, self._search.query_points, self._state)
        points, visibility = estimates + answer.offset, _array(answer.visibility.sigmoid())
        there = sample_cells(log_volume[:, None], to_cells(points, STRIDES[0])[:, None])[:, 0, 0]
        variance = _array(answer.deviation / grid.pixels_per_frame_pixel) ** 2
        reach = self._head.config.radius * STRIDES[0]
        near = (
            np.abs(_array(grid.to_network(_like(finding.points, log_volume))) - _array(estimates)).max(axis=1) <= reach
        )
        return replace(
            finding,
            points=np.where(near[:, None], _array(grid.to_frame(points)), finding.points),
            covariance=np.where(near[:, None, None], variance[:, None, None] * np.eye(2), finding.covariance),
            likelihood=np.where(near, _array(self.config.likelihood_weight * there), finding.likelihood),
            visibility=np.where(near, visibility, finding.visibility),
        )

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
