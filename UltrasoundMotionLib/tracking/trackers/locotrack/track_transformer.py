"""LocoTrack's transformer over time, whose attention falls with the distance in time (Sec. 3.3).

Half of the heads look back, half look ahead, each with its own linear penalty on the distance (ALiBi, Press et al.,
ICLR 2022), so that tracks may be of any length.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDENING = 4
_STEEPNESS = 24.0  # the flattest penalty is 1 / 24 for each frame
_FORBIDDEN = -1e9


class TrackTransformer(nn.Module):
    """States of N points on T frames, (N, T, inputs) -> their change (N, T, outputs).

    Args:
        inputs, outputs: channels before and after.
        channels: inside.
        heads: of the attention, an even number.
        layers: number of layers.
    """

    def __init__(self, inputs: int, outputs: int, channels: int, heads: int, layers: int) -> None:
        super().__init__()
        self._heads = heads
        self.input = nn.Linear(inputs, channels)
        self.layers = nn.ModuleList(_Layer(channels, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.output = nn.Linear(channels, outputs)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Computes the change; `bias` is `time_bias` of the number of frames."""
        values = self.input(states)
        for layer in self.layers:
            values = layer(values, bias)
        return self.output(self.norm(values))

    def time_bias(self, frame_count: int) -> Tensor:
        """Computes what is added to the attention (heads, T, T) of each frame, the rows, to each, the columns."""
        half = self._heads // 2
        like = self.input.weight
        numbers = torch.arange(1, half + 1, device=like.device, dtype=like.dtype)
        slopes = _STEEPNESS ** (-numbers / half)
        times = torch.arange(frame_count, device=like.device)
        ahead = times - times[:, None]
        penalty = -slopes[:, None, None] * ahead.abs()
        return torch.cat((penalty.masked_fill(ahead > 0, _FORBIDDEN), penalty.masked_fill(ahead < 0, _FORBIDDEN)))


class _Layer(nn.Module):
    """Attention over time, then layers over channels; both normalised before and added to what came in."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.attention_norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.merge = nn.Linear(channels, channels)
        self.channel_norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, _WIDENING * channels)
        self.narrow = nn.Linear(_WIDENING * channels, channels)

    def forward(self, values: Tensor, bias: Tensor) -> Tensor:
        """Maps (N, T, C) to as many."""
        normal = self.attention_norm(values)
        query, key, value = (
            layer(normal).unflatten(2, (self._heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scale = 1 / math.sqrt(query.shape[3])
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=bias[None], scale=scale)
        values = values + self.merge(seen.transpose(1, 2).flatten(2))
        return values + self.narrow(F.gelu(self.widen(self.channel_norm(values))))
