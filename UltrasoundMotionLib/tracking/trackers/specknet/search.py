"""Search for query points in frames with a trained SpeckNet: the common part of all trackers built on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import Features, cosines, log_product, query_features
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet
from UltrasoundMotionLib.tracking.trackers.specknet.network_input import GreyScale, NetworkGrid


class SpeckNetSearch:
    """Keeps the features of the query points, and nothing of any frame.

    On CUDA, convolutions are kept to full float32, or positions would differ from the CPU's by more than 0.05 px now
    and then.

    Args:
        network: its weights are shared, not changed.
        device: of the network.
        contrast_power: power that the cost volumes are raised to; None: the network's.
        bfloat16: computes features in bfloat16. Positions of the fused tracker then differ by up to about 0.05 px from
            those in float32.
    """

    def __init__(
        self,
        network: SpeckNet,
        device: torch.device,
        *,
        contrast_power: float | None = None,
        bfloat16: bool = False,
    ) -> None:
        power = network.config.contrast_power if contrast_power is None else contrast_power
        self.config = replace(network.config, contrast_power=power)
        self._network = network
        self._device = device
        self._bfloat16 = bfloat16

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> None:
        """Computes the features of points (N, 2) px on `frame` (H, W)."""
        values = self._to_device(frame[None])
        self._shape = frame.shape
        self.grid = NetworkGrid.of(frame.shape[0], frame.shape[1], self.config.input_size)
        self._grey = GreyScale.of(values)
        points = torch.tensor(np.array(query_points, dtype=np.float32), device=self._device)
        self.query_points = self.grid.to_network(points)
        self._query = query_features(self._features(values), self.query_points[None])

    def log_volumes(self, frames: np.ndarray) -> Tensor:
        """Computes the logarithm (K, N, h, w) of the cost volumes of K frames (K, H, W); raises as `cosines` does."""
        return self.log_product(self.cosines(frames))

    def log_product(self, volumes: Features) -> Tensor:
        """Computes the logarithm (K, N, h, w) of the product of three volumes, given their cosines."""
        return log_product(volumes, self.config, self.grid.valid_size)

    def cosines(self, frames: np.ndarray) -> Features:
        """Computes the cosines, each (K, N, h, w), of the query points' features with the cells of K frames (K, H, W).

        Raises:
            InputError: frames of another size than the first.
        """
        if frames.shape[1:] != self._shape:
            raise InputError(
                f"the frame is {frames.shape[2]} x {frames.shape[1]} pixels, the first one was "
                f"{self._shape[1]} x {self._shape[0]}"
            )
        return cosines(self._query, self._features(self._to_device(frames)))

    def _to_device(self, frames: np.ndarray) -> Tensor:
        return torch.tensor(np.array(frames, dtype=np.float32), device=self._device)

    def _features(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images = self.grid.resize(self._grey.apply(frames)).contiguous(memory_format=torch.channels_last)
        with (
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16),
        ):
            return self._network.features(images)
