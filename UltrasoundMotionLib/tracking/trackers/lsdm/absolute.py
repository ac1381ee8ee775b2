"""LSDM's response as an absolute search for `LongShortTracker`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.device import one_thread
from UltrasoundMotionLib.tracking.matching.absolute_search import Finding
from UltrasoundMotionLib.tracking.matching.matcher import isotropic, mean_variance
from UltrasoundMotionLib.tracking.trackers.lsdm.network import CELL
from UltrasoundMotionLib.tracking.trackers.lsdm.search import LsdmSearch
from UltrasoundMotionLib.tracking.working_scale import WorkingScale


@dataclass(frozen=True)
class LsdmFindingConfig:
    """Settings by which the response becomes a finding. Chosen on tuning liver phantoms (Docs/concepts/lsdm.md).

    Attributes:
        likelihood_weight: log-likelihood for one logit.
        peak_radius: of the mean around the best cell, in cells.
        deviation: standard deviation of the place that the response gives, if it is the right one, in pixels of a frame
            whose longer side has 256.
    """

    likelihood_weight: float = 0.5
    peak_radius: float = 2.5
    deviation: float = 1.2


@dataclass(frozen=True)
class Answer:
    """Positions read from a response: places (N, 2), the logits there (N,), and at the expected place (N,)."""

    points: Tensor
    there: Tensor
    expected: Tensor


class LsdmAbsolute:
    """Implements `AbsoluteSearch`."""

    frames_at_once = 1

    def __init__(self, search: LsdmSearch, config: LsdmFindingConfig, device: torch.device) -> None:
        self.config = config
        self._search, self._device = search, device

    @torch.inference_mode()
    def start(self, frame: np.ndarray, query_points: np.ndarray) -> None:
        """Implements `AbsoluteSearch.start`."""
        self._scale = WorkingScale.of(frame.shape)
        points = self._scale.to_working(self._tensor(query_points))
        self._search.start(self._tensor(self._scale.image(frame)), points, self._scale)
        self._looked = True

    def add_frames(self, frames: np.ndarray) -> None:
        """Implements `AbsoluteSearch.add_frames`."""
        self._images = [self._tensor(self._scale.image(frame)) for frame in frames]
        self._looked = False

    @torch.inference_mode()
    @one_thread()
    def find(self, index: int, expected: np.ndarray, covariance: np.ndarray) -> Finding:
        """Implements `AbsoluteSearch.find`; once a frame."""
        points, unit = self._scale.to_working(self._tensor(expected)), self._scale.unit
        pixels = 2.0**self._scale.halvings
        variance = self._tensor(mean_variance(covariance) / (pixels * unit) ** 2)
        self._looked = True
        answer = read_response(self._search.look(self._images[index], points), variance, self.config)
        return Finding(
            points=((points + unit * answer.points + 0.5) * pixels - 0.5).double().cpu().numpy(),
            covariance=isotropic((self.config.deviation * unit * pixels) ** 2, len(points)),
            likelihood=(self.config.likelihood_weight * answer.there).double().cpu().numpy(),
            expected_likelihood=(self.config.likelihood_weight * answer.expected).double().cpu().numpy(),
            visibility=torch.sigmoid(answer.there).double().cpu().numpy(),
        )

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self._device)

    def catch_up(self, positions_px: np.ndarray) -> None:
        """Runs the network on the last frame around landmarks (N, 2), if the search was skipped there."""
        if not self._looked:
            self._search.look(self._images[-1], self._scale.to_working(self._tensor(positions_px)))
            self._looked = True


def read_response(logits: Tensor, variance: Tensor, config: LsdmFindingConfig) -> Answer:
    """Returns the best place of responses (N, h, w) around the expected one, their middle, whose variance is (N,): of
    two look-alikes, the expected one.
    """
    height, width = logits.shape[1:]
    x = CELL * (torch.arange(width, device=logits.device) - width // 2)
    y = CELL * (torch.arange(height, device=logits.device) - height // 2)
    squared = (x.square() + y.square()[:, None])[None]
    best = (config.likelihood_weight * logits - 0.5 * squared / variance[:, None, None]).flatten(1).argmax(dim=1)
    column, row = best % width, best // width
    along_x, along_y = x[None, None] - x[column][:, None, None], y[None, :, None] - y[row][:, None, None]
    near = along_x.square() + along_y.square() <= (CELL * config.peak_radius) ** 2
    share = torch.softmax(logits.masked_fill(~near, -torch.inf).flatten(1), dim=1).view_as(logits)
    place = torch.stack(((share * x).sum(dim=(1, 2)), (share * y[:, None]).sum(dim=(1, 2))), dim=1)
    return Answer(place, _sample(logits, place), logits[:, height // 2, width // 2])


def _sample(logits: Tensor, places: Tensor) -> Tensor:
    """Interpolates logits (N,) at places (N, 2) in pixels from the middle; the border's beyond it."""
    middle = torch.tensor([logits.shape[2] // 2, logits.shape[1] // 2], device=logits.device)
    grid = (places / CELL / middle)[:, None, None]
    return torch.nn.functional.grid_sample(
        logits[:, None], grid, mode="bilinear", padding_mode="border", align_corners=True
    )[:, 0, 0, 0]
