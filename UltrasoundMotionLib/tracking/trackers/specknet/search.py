"""Finds query points in frames with a trained SpeckNet: the part that every tracker built on it has in common."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import log_cost_volume, query_features
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet, SpeckNetConfig
from UltrasoundMotionLib.tracking.trackers.specknet.network_input import GreyScale, NetworkGrid
from UltrasoundMotionLib.weights import LoadedWeights, load_weights
from UltrasoundMotionLib.weights.model_file import file_times


class SpeckNetSearch:
    """Keeps the features of the query points, and nothing of any frame.

    On CUDA, convolutions are kept to full float32, or positions would differ from the CPU's by more than 0.05 px now
    and then.
    """

    def __init__(self, network: SpeckNet, device: torch.device) -> None:
        self.config = network.config
        self._network = network
        self._device = device

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> None:
        """Remembers how points (N, 2) px look on `frame` (H, W)."""
        values = self._to_device(frame[None])
        self._shape = frame.shape
        self.grid = NetworkGrid.of(*frame.shape, self.config.input_size)
        self._grey = GreyScale.of(values)
        points = torch.tensor(np.array(query_points, dtype=np.float32), device=self._device)
        self._query = query_features(self._features(values), self.grid.to_network(points)[None])

    def log_volumes(self, frames: np.ndarray) -> Tensor:
        """Logarithm (K, N, h, w) of the cost volumes of K frames (K, H, W).

        Raises:
            InputError: frames of another size than the first.
        """
        if frames.shape[1:] != self._shape:
            raise InputError(
                f"the frame is {frames.shape[2]} x {frames.shape[1]} pixels, the first one was {self._shape[1]} x {self._shape[0]}"
            )
        return log_cost_volume(self._query, self._features(self._to_device(frames)), self.config, self.grid.valid_size)

    def _to_device(self, frames: np.ndarray) -> Tensor:
        return torch.tensor(np.array(frames, dtype=np.float32), device=self._device)

    def _features(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images = self.grid.resize(self._grey.apply(frames)).contiguous(memory_format=torch.channels_last)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self._network.features(images)


def network_of(weights: LoadedWeights) -> SpeckNet:
    """The network of a card, with its weights.

    Raises:
        InputError: the card is another network's, or its configuration is.
    """
    card = weights.card
    if card.architecture != "SpeckNet":
        raise InputError(f"weights {card.name}: are of {card.architecture}, not SpeckNet")
    try:
        values = {
            name: tuple(value) if isinstance(value, list) else value for name, value in card.configuration.items()
        }
        network = SpeckNet(SpeckNetConfig(**values))
    except (TypeError, ValueError) as error:
        raise InputError(f"weights {card.name}: the card's configuration is not SpeckNet's ({error})") from error
    weights.put_into(network)
    return network.eval()


def load_network(card_path: str | Path, device: torch.device) -> SpeckNet:
    """Reads and checks weights, and keeps the network for the next tracker of the same file and device.

    Raises:
        InputError: see `load_weights` and `network_of`.
    """
    path = Path(card_path)
    times = file_times(path)
    return _load_network(path, str(device), times)


@lru_cache(maxsize=2)
def _load_network(card_path: Path, device: str, times: tuple[int, int]) -> SpeckNet:
    return network_of(load_weights(card_path)).to(device).to(memory_format=torch.channels_last)
