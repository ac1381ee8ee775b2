"""TAPIR's first estimate: each point found in each frame by itself, from the cost volume of the coarse features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import bytes_at_once
from UltrasoundMotionLib.tracking.network_blocks.heatmap_peak import heatmap_peak

_PEAK_RADIUS = 5.0  # in cells
_VOLUME_CHANNELS, _HIDDEN_CHANNELS, _HIDDEN = 16, 32, 16


class InitialMatch(nn.Module):
    """Features of T frames and of N points -> positions in cells, and logits of occlusion and of a large error.

    Args:
        temperature: factor of the heat map before its softmax.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.volume = nn.Conv2d(1, _VOLUME_CHANNELS, 3, padding=1)
        self.heatmap = nn.Conv2d(_VOLUME_CHANNELS, 1, 3, padding=1)
        self.visibility = nn.Conv2d(_VOLUME_CHANNELS, _HIDDEN_CHANNELS, 3, stride=2)
        self.visibility_hidden = nn.Linear(_HIDDEN_CHANNELS, _HIDDEN)
        self.visibility_output = nn.Linear(_HIDDEN, 2)

    def forward(self, maps: Tensor, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Finds points with features (N, C) in maps (T, C, h, w): positions (N, T, 2), (x, y) in cells, the origin at
        the centre of the first one, and two logits (N, T).
        """
        frame_count, _, height, width = maps.shape
        count = len(queries)
        positions = maps.new_empty((count, frame_count, 2))
        logits = maps.new_empty((count, frame_count, 2))
        at_once = max(1, bytes_at_once(maps.device) // (_VOLUME_CHANNELS * height * width * maps.element_size()))
        for frame, values in enumerate(maps):
            costs = (queries @ values.flatten(1)).view(count, 1, height, width)
            for start in range(0, count, at_once):
                part = slice(start, start + at_once)
                positions[part, frame], logits[part, frame] = self._match(costs[part])
        return positions, logits[..., 0], logits[..., 1]

    def _match(self, costs: Tensor) -> tuple[Tensor, Tensor]:
        """Computes positions (M, 2) and logits (M, 2) from cost maps (M, 1, h, w)."""
        volume = F.relu(self.volume(costs), inplace=True)
        positions = heatmap_peak(self.heatmap(volume)[:, 0] * self.temperature, _PEAK_RADIUS)
        hidden = F.relu(self.visibility(F.pad(volume, (0, 1, 0, 1))), inplace=True).mean(dim=(2, 3))
        return positions, self.visibility_output(F.relu(self.visibility_hidden(hidden)))
