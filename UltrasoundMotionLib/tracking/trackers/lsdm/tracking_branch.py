"""LSDM's tracking branch: features of exemplar and search window, the deformation pyramid that changes the exemplar's,
and their correlation (Sec. III-E, Fig. 5 a).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.trackers.lsdm.encoder import doubled, normalised
from UltrasoundMotionLib.tracking.trackers.lsdm.motion import sampled

EXEMPLAR = 128
"""Samples along a side of the exemplar; the landmark is sample 64."""
INSTANCE = 256
"""Samples along a side of the search window; its middle is sample 128."""
STRIDE = 4
"""Samples from one cell of the response to the next."""
RESPONSE = 33
"""Cells along a side of the response; its middle is cell 16."""
SAMPLE = 0.1875
"""Motion pixels from one sample of the windows to the next: the exemplar is 48 pixels of a frame of 256 wide, twice a
target of 24, as SiamFC has it.
"""
_LOGIT = 15.0
"""Logits for one unit of the learnt scale and bias."""
_KERNELS = (7, 5, 3)
"""Sides of the pyramid's kernels at strides 2, 4 and 8: the larger the map, the larger the kernel."""
_GRID = EXEMPLAR // 8
"""Cells along a side of the pyramid's maps over the exemplar."""


class DeformationPyramid(nn.Module):
    """Deformation pyramid network: motion features around the landmark, summed from coarse to fine, are added to the
    exemplar's maps at strides 2 and 4.
    """

    def __init__(self, widths: tuple[int, int, int], channels: tuple[int, int]) -> None:
        super().__init__()
        first, second = channels
        self.lateral = nn.ModuleList(
            nn.Conv2d(width, second, size, stride=stride, padding=size // 2)
            for width, size, stride in zip(widths, _KERNELS, (2, 1, 1), strict=True)
        )
        self.to_stride_2 = nn.Conv2d(second, first, 3, padding=1)
        self.to_stride_4 = nn.Conv2d(second, second, 3, padding=1)

    def forward(self, features: tuple[Tensor, ...], middles: Tensor) -> tuple[Tensor, Tensor]:
        """Computes what is added to the exemplar's maps (N, C, 64, 64) and (N, C', 32, 32).

        Args:
            features: motion features (N, C, h, w) of the whole frame at strides 2, 4 and 8.
            middles: (N, 2) the landmarks' expected places in motion pixels.
        """
        maps = []
        for lateral, level, stride in zip(self.lateral, features, (2, 4, 8), strict=True):
            maps.append(lateral(_around(level, middles / stride, 2 * _GRID if stride == 2 else _GRID, stride)))
        fine, middle, coarse = maps
        summed = F.leaky_relu(fine + (middle + coarse), 0.1)
        stride_4 = self.to_stride_4(summed)
        stride_2 = self.to_stride_2(summed)
        return _enlarged(stride_2, EXEMPLAR // 2), _enlarged(stride_4, EXEMPLAR // 4)


def _around(level: Tensor, middles: Tensor, size: int, stride: int) -> Tensor:
    """Samples maps (N, C, h, w) on `size` x `size` places that cover the exemplar around `middles` (N, 2), in cells."""
    offsets = (torch.arange(size, device=level.device, dtype=level.dtype) - size // 2) * (
        EXEMPLAR * SAMPLE / size / stride
    )
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    return sampled(level, middles[:, None] + torch.stack((x.flatten(), y.flatten()), dim=1)).unflatten(2, (size, size))


def _enlarged(values: Tensor, size: int) -> Tensor:
    """Interpolates maps to `size` x `size` cells, the first cell staying where it is."""
    while values.shape[-1] < size:
        values = doubled(values, like=values.new_empty((1, 1, 2 * values.shape[-2], 2 * values.shape[-1])))
    return values


class TrackingHead(nn.Module):
    """Features of unit length from maps at stride 4, and the response of exemplar and search window (Eq. 1).

    The exemplar's cells count by learnt weights, at first a Gaussian around the landmark.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.neck = nn.Sequential(normalised(inputs, channels), nn.Conv2d(channels, channels, 1))
        squared = (torch.arange(EXEMPLAR // STRIDE) - EXEMPLAR // STRIDE // 2).square().float()
        self.weights = nn.Parameter(-0.5 * (squared[:, None] + squared) / 7.0**2)
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.full((1,), -0.5))

    def features(self, maps: Tensor) -> Tensor:
        """Computes features of unit length (N, C, h, w)."""
        values = self.neck(maps).float()
        return values * (values.square().sum(dim=1, keepdim=True) + 1e-8).rsqrt()

    def forward(self, exemplar: Tensor, search: Tensor) -> Tensor:
        """Computes logits (N, S, 33, 33) of exemplars' features (N, S, C, 32, 32) in search windows' (N, C, 64, 64)."""
        weights = torch.softmax(self.weights.flatten(), dim=0).view_as(self.weights)
        return _LOGIT * (self.scale * correlate(exemplar * weights, search) + self.bias)


def correlate(template: Tensor, search: Tensor) -> Tensor:
    """Cross-correlates templates (N, S, C, h, h) with search maps (N, C, H, H), H = 2 h: (N, S, h + 1, h + 1).

    By Fourier transform, since kernels as wide as these are slow to convolve with: over H samples nothing wraps around.
    """
    side, reach = search.shape[-1], search.shape[-1] - template.shape[-1] + 1
    searched = torch.fft.rfft2(search)
    spectra = [
        (torch.fft.rfft2(one, s=(side, side)).conj() * searched).sum(dim=1) for one in template.unbind(1)
    ]  # scale by scale, which stays in the cache
    return torch.fft.irfft2(torch.stack(spectra, dim=1), s=(side, side))[..., :reach, :reach]
