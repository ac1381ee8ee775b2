"""Transformer of CoTracker3: attention along each track, and between tracks by way of a few virtual ones.

Karaev et al., "CoTracker3: Simpler and Better Point Tracking by Pseudo-Labelling Real Videos", arXiv 2410.11831, Sec.
3.2, and "CoTracker: It is Better to Track Together", ECCV 2024, Sec. 3: attention along time is over the frames of one
track. Attention between tracks would cost their number squared; instead, on each frame, the virtual tracks, which are
learnt, read from the points, attend to each other, and the points read from them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import points_at_once

_WIDENING = 4


class Transformer(nn.Module):
    """Tokens (N, T, C) of N tracks on T frames -> tokens (N, T, C).

    Args:
        channels: C.
        depth: number of layers, each along time and then between tracks.
        heads: of all attentions.
        virtual_tracks: number of tracks that are learnt.
    """

    def __init__(self, channels: int, depth: int, heads: int, virtual_tracks: int) -> None:
        super().__init__()
        self.virtual_tracks = nn.Parameter(torch.randn(virtual_tracks, 1, channels))
        self.time_blocks = nn.ModuleList(AttentionBlock(channels, heads) for _ in range(depth))
        self.read_points = nn.ModuleList(CrossAttentionBlock(channels, heads) for _ in range(depth))
        self.virtual_blocks = nn.ModuleList(AttentionBlock(channels, heads) for _ in range(depth))
        self.read_virtual = nn.ModuleList(CrossAttentionBlock(channels, heads) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes all layers; tracks, then frames, are processed in parts, which bounds the memory."""
        count, frames, channels = tokens.shape
        virtual: Tensor = self.virtual_tracks  # of one frame: at first they are the same on all
        hidden_bytes = _WIDENING * channels * tokens.element_size()
        tracks_at_once = points_at_once(frames, hidden_bytes, tokens.device)
        frames_at_once = points_at_once(count + len(virtual), hidden_bytes, tokens.device)
        layers = zip(self.time_blocks, self.read_points, self.virtual_blocks, self.read_virtual, strict=True)
        for along_time, read_points, among_virtual, read_virtual in layers:
            tokens = torch.cat([along_time(part) for part in tokens.split(tracks_at_once)])
            virtual = torch.cat([along_time(part) for part in virtual.split(tracks_at_once)]).expand(-1, frames, -1)
            on_frames = []
            for first in range(0, frames, frames_at_once):
                points, others = (one[:, first : first + frames_at_once].transpose(0, 1) for one in (tokens, virtual))
                others = among_virtual(read_points(others, points))
                on_frames.append((read_virtual(points, others), others))
            tokens, virtual = (torch.cat(parts).transpose(0, 1) for parts in zip(*on_frames, strict=True))
        return tokens


class AttentionBlock(nn.Module):
    """Tokens (B, N, C) attend to each other, then pass a perceptron of one hidden layer; each is added to them."""

    def __init__(self, channels: int, heads: int, context_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.output = nn.Linear(channels, channels)
        self.hidden = nn.Linear(channels, _WIDENING * channels)
        self.project = nn.Linear(_WIDENING * channels, channels)
        self.context_norm = nn.LayerNorm(channels) if context_norm else None

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Computes the block; with a context (B, M, C), tokens attend to that instead."""
        values = _normalise(tokens)
        seen = values if context is None or self.context_norm is None else self.context_norm(context)
        query = self._by_head(self.query(values))
        key, value = (self._by_head(part) for part in self.key_value(seen).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.output(attended.transpose(1, 2).flatten(2))
        return tokens + self.project(F.gelu(self.hidden(_normalise(tokens)), approximate="tanh"))

    def _by_head(self, values: Tensor) -> Tensor:
        """Splits channels (B, N, C) into heads: (B, heads, N, C / heads)."""
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class CrossAttentionBlock(AttentionBlock):
    """An `AttentionBlock` that attends to a context."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads, context_norm=True)


def _normalise(tokens: Tensor) -> Tensor:
    """Normalises tokens without weights."""
    return F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
