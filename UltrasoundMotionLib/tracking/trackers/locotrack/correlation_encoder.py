"""LocoTrack's encoder of local 4D correlations (Sec. 3.2): each cell around one point against each around another.

Both views of a correlation, the cells around the query as channels over the cells around the target and the other way
round, pass the same small convolutions; their two vectors are put together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_GROUP_CHANNELS = 16


class CorrelationEncoder(nn.Module):
    """Correlations (M, s, s, s * s) -> vectors (M, 2 C), C the channels of the last convolution.

    Args:
        side: s, of the neighbourhoods.
        channels, kernels, strides: of the convolutions, one number each.
    """

    def __init__(self, side: int, channels: Sequence[int], kernels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        before = (side * side, *channels[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(first, second, kernel, stride=stride)
            for first, second, kernel, stride in zip(before, channels, kernels, strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(count // _GROUP_CHANNELS, count) for count in channels)

    def forward(self, correlations: Tensor) -> Tensor:
        """Encodes (M, rows, columns, cells) of the target's rows and columns with all cells of the query."""
        count, side = correlations.shape[:2]
        of_target = correlations.permute(0, 3, 1, 2)
        of_query = correlations.reshape(count, side * side, side, side)
        values = torch.cat((of_target, of_query))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            values = F.relu(norm(convolution(_pad_same(values, convolution))), inplace=True)
        means = values.mean(dim=(2, 3))
        return torch.cat((means[:count], means[count:]), dim=1)


def _pad_same(values: Tensor, convolution: nn.Module) -> Tensor:
    """Pads (B, C, h, w) with zeros as TensorFlow's "SAME" does, the odd sample at the bottom and right, so that a
    convolution of stride s gives ceil(h / s) x ceil(w / s).
    """
    assert isinstance(convolution, nn.Conv2d)
    padding: list[int] = []
    for size, kernel, stride in zip(values.shape[-2:], convolution.kernel_size, convolution.stride, strict=True):
        missing = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        padding = [missing // 2, missing - missing // 2, *padding]
    return F.pad(values, padding) if any(padding) else values
