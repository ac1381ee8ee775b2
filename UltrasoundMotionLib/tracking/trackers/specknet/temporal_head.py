"""SpeckNet's temporal head: corrects running estimates by the costs around them, past frames and the other points.

The published network looks at each frame and each point alone; its authors name temporal priors as future work (Azad et
al., Sec. 6). The head takes the three volumes' cosines in a window around each point's running estimate and lets every
point attend to its own last frames (causal, so that it runs online) and to the other points of the frame (nearer ones
count more). It returns a correction of the position, the covariance of what it found, and a visibility. Positions are
in pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import Features, sample_cells, to_cells
from UltrasoundMotionLib.tracking.trackers.specknet.network import STRIDES, SpeckNet, SpeckNetConfig, TemporalHeadConfig

_EXTRAS = 4
_LENGTH = 64.0  # pixels that displacements are divided by
_FAR = 256.0  # pixels that distances between points are divided by
_LEAST_DEVIATION = 0.3


@dataclass(frozen=True)
class HeadAnswer:
    """Answer of the head for tokens (...).

    Attributes:
        log_weights: (..., K) logarithm of a distribution over the offsets of the window.
        offset: (..., 2) px, its mean: the correction of the running estimate.
        deviation: (...) px, standard deviation of the corrected position along each axis.
        visibility: (...) logit of the point being in sight.
    """

    log_weights: Tensor
    offset: Tensor
    deviation: Tensor
    visibility: Tensor


class HeadState:
    """Running memory of a stream: the inputs of each layer in the last frames, and the last estimates."""

    def __init__(self, layers: int) -> None:
        self.past: list[Tensor | None] = [None] * layers
        self.estimate: Tensor | None = None


class TemporalHead(nn.Module):
    """Attention over time and points on local costs; see the module."""

    offsets: Tensor

    def __init__(self, config: TemporalHeadConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TemporalHeadConfig()
        side = 2 * config.radius + 1
        self.embed = nn.Sequential(
            nn.Linear(len(STRIDES) * side**2 + _EXTRAS, config.width), nn.GELU(), nn.Linear(config.width, config.width)
        )
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.weights = nn.Linear(config.width, side**2)
        self.evidence = nn.Parameter(torch.tensor([5.0, 5.0]))  # of the two volumes whose cells the offsets are
        self.others = nn.Linear(config.width, 2)
        axis = torch.arange(-config.radius, config.radius + 1, dtype=torch.float32)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("offsets", torch.stack([x, y], dim=-1).view(-1, 2), persistent=False)

    def costs(self, volumes: Features, estimates: Tensor) -> Tensor:
        """Samples the cosines (B, N, h, w) of the three volumes around estimates (B, N, 2): (B, N, 3, K)."""
        sampled = []
        for values, stride in zip(volumes, STRIDES, strict=True):
            cells = to_cells(estimates, stride)[..., None, :] + self.offsets
            flat = sample_cells(values.flatten(0, 1)[:, None], cells.flatten(0, 1))
            sampled.append(flat[..., 0].unflatten(0, estimates.shape[:2]))
        return torch.stack(sampled, dim=2)

    def forward(self, costs: Tensor, estimates: Tensor, query_points: Tensor) -> HeadAnswer:
        """Answers for whole clips at once; each frame sees itself and those before it.

        Args:
            costs: (B, T, N, 3, K), see `costs`.
            estimates: (B, T, N, 2) running estimates.
            query_points: (B, N, 2).
        """
        before = torch.cat([estimates[:, :1], estimates[:, :-1]], dim=1)
        tokens = self.embed(_inputs(costs, estimates, before, query_points[:, None]))
        frames = torch.arange(tokens.shape[1], device=tokens.device)
        age = frames[:, None] - frames
        nearness = _nearness(query_points)
        for layer in self.layers:
            tokens = layer(tokens, tokens, age, nearness)
        return self._answer(tokens, costs)

    def step(self, costs: Tensor, estimates: Tensor, query_points: Tensor, state: HeadState) -> HeadAnswer:
        """Answers for the next frame of a stream, as `forward` does for all.

        Args:
            costs: (N, 3, K) of this frame.
            estimates: (N, 2).
            query_points: (N, 2).
            state: is changed.
        """
        before = estimates if state.estimate is None else state.estimate
        state.estimate = estimates
        tokens = self.embed(_inputs(costs, estimates, before, query_points))[None, None]
        nearness = _nearness(query_points[None])
        for index, layer in enumerate(self.layers):
            past = state.past[index]
            seen = tokens if past is None else torch.cat([past, tokens], dim=1)[:, -self.config.window :]
            state.past[index] = seen
            age = torch.arange(seen.shape[1] - 1, -1, -1, device=tokens.device)[None]
            tokens = layer(tokens, seen, age, nearness)
        answer = self._answer(tokens, costs[None, None])
        return HeadAnswer(*(value[0, 0] for value in vars(answer).values()))

    def _answer(self, tokens: Tensor, costs: Tensor) -> HeadAnswer:
        tokens = self.norm(tokens)
        evidence = torch.einsum("...sk,s->...k", costs[..., :2, :], self.evidence)
        log_weights = (self.weights(tokens) + evidence).log_softmax(dim=-1)
        weights = log_weights.exp()
        offset = weights @ self.offsets
        spread = (weights @ self.offsets.square().sum(-1) - offset.square().sum(-1)).clamp(min=0) / 2
        deviation, visibility = self.others(tokens).unbind(-1)
        deviation = _LEAST_DEVIATION + STRIDES[0] * (0.05 + spread).sqrt() * F.softplus(deviation)
        return HeadAnswer(log_weights, STRIDES[0] * offset, deviation, visibility)


class _Layer(nn.Module):
    def __init__(self, config: TemporalHeadConfig) -> None:
        super().__init__()
        width = config.width
        self.window = config.window
        self.time = _Attention(width, config.heads)
        self.points = _Attention(width, config.heads)
        self.age_bias = nn.Parameter(torch.zeros(config.heads, config.window))
        self.distance_scale = nn.Parameter(torch.linspace(0.0, 3.0, config.heads))
        self.norm = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, seen: Tensor, age: Tensor, nearness: Tensor) -> Tensor:
        """Changes tokens (B, T, N, C) given those seen (B, S, N, C), `age` (T, S) frames ago; future ones count not."""
        bias = self.age_bias[:, age.clamp(0, self.window - 1)]
        bias = bias.masked_fill((age < 0) | (age >= self.window), float("-inf"))
        tokens = tokens + self.time(tokens.transpose(1, 2), seen.transpose(1, 2), bias).transpose(1, 2)
        bias = F.softplus(self.distance_scale)[:, None, None] * nearness[:, None, None]
        tokens = tokens + self.points(tokens, tokens, bias)
        return tokens + self.perceptron(self.norm(tokens))


class _Attention(nn.Module):
    """Attention of several heads with a bias, normalised before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, seen: Tensor, bias: Tensor) -> Tensor:
        """Attends from tokens (..., T, C) to those seen (..., S, C), with a bias (..., heads, T, S)."""
        query = self._split(self.query(self.norm(tokens)))
        key, value = (self._split(part) for part in self.key_value(self.norm(seen)).chunk(2, dim=-1))
        found = F.scaled_dot_product_attention(query, key, value, bias.expand(*query.shape[:-1], key.shape[-2]))
        return self.out(found.transpose(-3, -2).flatten(-2))

    def _split(self, values: Tensor) -> Tensor:
        return values.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


def _inputs(costs: Tensor, estimates: Tensor, before: Tensor, query_points: Tensor) -> Tensor:
    """Returns the inputs (..., N, 3 K + 4) of tokens: costs, motion since the query frame and since the last frame."""
    since_query, since_last = (estimates - query_points) / _LENGTH, (estimates - before) / (0.25 * _LENGTH)
    return torch.cat([costs.flatten(-2), since_query, since_last], dim=-1)


def _nearness(query_points: Tensor) -> Tensor:
    """Returns (B, N, N), minus the squared distance of points (B, N, 2) in units of 256 px of the input."""
    return -(torch.cdist(query_points, query_points) / _FAR).square() * 16


def build_specknet(config: SpeckNetConfig | None = None) -> SpeckNet:
    """Builds the network of a configuration, with its temporal head where it has one."""
    network = SpeckNet(config)
    if network.config.head is not None:
        network.head = TemporalHead(network.config.head)
    return network
