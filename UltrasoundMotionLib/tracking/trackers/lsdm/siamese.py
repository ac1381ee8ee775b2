"""LSDM's Siamese branch: features of exemplar and search window, the deformation pyramid that changes the exemplar's,
and their correlation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.trackers.lsdm.deformation import doubled, normalised, unit_length

FINE_SIZE, COARSE_SIZE = 17, 15
"""Cells along a side of the template at strides 2 and 4: 34 and 60 pixels of the exemplar."""
REACH = 16
"""Cells of stride 2 that the landmark is looked for to each side."""
LOGIT = 15.0
"""Logits for one unit of the learnt scales and bias."""


class SiameseFeatures(nn.Module):
    """Features of unit length at strides 2 and 4 of windows (B, 1, H, W); cell i lies at pixel 2 i and 4 i.

    Two levels: the fine one says where, the coarse one which of several alike. In two halves, `early` (of the exemplar
    once a sequence) and `late`, between which and after which the pyramid injects.
    """

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        fine, coarse = channels
        self.stem = nn.Sequential(normalised(1, fine, size=5, stride=2), normalised(fine, fine))
        self.down = nn.Sequential(normalised(fine, coarse, stride=2), normalised(coarse, coarse))
        self.coarse = nn.Sequential(normalised(coarse, coarse), nn.Conv2d(coarse, coarse, 1))
        self.beside = nn.Conv2d(coarse, fine, 1)
        self.fine = nn.Sequential(normalised(fine, fine), nn.Conv2d(fine, fine, 1))

    def early(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Computes maps at strides 2 and 4."""
        fine = self.stem(windows)
        return fine, self.down(fine)

    def late(
        self, maps: tuple[Tensor, Tensor], injected: tuple[Tensor | None, Tensor | None] = (None, None)
    ) -> tuple[Tensor, Tensor]:
        """Computes features from early maps, with what is injected added to each."""
        fine, coarse = (values if more is None else values + more for values, more in zip(maps, injected, strict=True))
        fine = self.fine(fine + doubled(self.beside(coarse), fine))
        return unit_length(fine), unit_length(self.coarse(coarse))

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Computes features of windows by both halves."""
        return self.late(self.early(windows))


class DeformationPyramid(nn.Module):
    """Deformation pyramid network (Sec. III-E): motion features, summed from coarse to fine, brought to the exemplar's
    maps by kernels that are larger for larger maps.

    What it adds starts at 0, so that the Siamese branch first learns what it would learn without.
    """

    def __init__(self, motion_channels: tuple[int, int, int], feature_channels: tuple[int, int], decoder: str) -> None:
        super().__init__()
        fine, coarse = feature_channels
        streams = 2 if decoder == "partial" else 1
        self.lateral = nn.ModuleList(nn.Conv2d(streams * channels, fine, 1) for channels in motion_channels)
        self.to_fine = nn.Conv2d(fine, fine, 5, padding=2)
        self.to_coarse = nn.ModuleList(
            (nn.Conv2d(fine, coarse, 5, stride=2, padding=2), nn.Conv2d(fine, coarse, 3, padding=1))
        )
        for last in (self.to_fine, *self.to_coarse):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Computes what is added to the exemplar's maps at strides 2 and 4, from motion features of the whole window at
        strides 2, 4 and 8.
        """
        eighth = self.lateral[2](features[2])
        quarter = self.lateral[1](features[1])
        quarter = quarter + doubled(eighth, quarter)
        half = self.lateral[0](features[0])
        half = _middle(half + doubled(quarter, half))
        return self.to_fine(half), self.to_coarse[0](half) + self.to_coarse[1](_middle(quarter))


def _middle(values: Tensor) -> Tensor:
    """Cuts out the part of a window's map that lies over the exemplar: half its side, in the middle."""
    height, width = values.shape[-2:]
    return values[..., height // 4 : height - height // 4, width // 4 : width - width // 4]


class SiameseHead(nn.Module):
    """Correlates template and search window at both strides; a place's logit is the weighted sum of the two mean
    cosines.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine_weights, self.coarse_weights = (nn.Parameter(_bump(size)) for size in (FINE_SIZE, COARSE_SIZE))
        self.scales = nn.Parameter(torch.ones(2))
        self.bias = nn.Parameter(-torch.ones(1))

    def forward(self, template: tuple[Tensor, Tensor], search: tuple[Tensor, Tensor]) -> Tensor:
        """Logits (B, 33, 33) in steps of stride 2 around the search window's middle."""
        fine = correlate(
            template[0], search[0], torch.softmax(self.fine_weights.flatten(), dim=0).view_as(self.fine_weights), REACH
        )
        coarse = correlate(
            template[1],
            search[1],
            torch.softmax(self.coarse_weights.flatten(), dim=0).view_as(self.coarse_weights),
            REACH // 2,
        )
        coarse = F.interpolate(coarse[:, None], size=fine.shape[-2:], mode="bilinear", align_corners=True)[:, 0]
        return LOGIT * (self.scales[0] * fine + self.scales[1] * coarse + self.bias)


def _bump(size: int) -> Tensor:
    """Logarithm of a Gaussian over the template, so that its middle counts most before anything is learnt."""
    squared = (torch.arange(size) - size // 2).square().float()
    return -0.5 * (squared[:, None] + squared) / (size / 4) ** 2


def correlate(template: Tensor, search: Tensor, weights: Tensor, reach: int) -> Tensor:
    """Cross-correlates (B, 2 reach + 1, 2 reach + 1) each template (B, C, h, w) with its own search map (B, C, H, W).

    Only the middle of the template counts, `weights` (k, k) with k odd, and shifts up to `reach` cells. Cell size // 2
    is the middle of a map. By Fourier transform: convolutions with a kernel for each sample are slow, and their
    gradients slower.
    """
    size = weights.shape[0]
    top, left = (length // 2 - size // 2 for length in template.shape[-2:])
    kernel = template[..., top : top + size, left : left + size] * weights
    radius = reach + size // 2
    top, left = (length // 2 - radius for length in search.shape[-2:])
    area = search[..., top : top + 2 * radius + 1, left : left + 2 * radius + 1]
    side = area.shape[-1] + area.shape[-1] % 2
    spectrum = torch.fft.rfft2(area, s=(side, side)) * torch.fft.rfft2(kernel, s=(side, side)).conj()
    return torch.fft.irfft2(spectrum.sum(dim=1), s=(side, side))[..., : 2 * reach + 1, : 2 * reach + 1]


def find_peak(logits: Tensor, radius: float = 2.5) -> tuple[Tensor, Tensor]:
    """Finds the peak of responses (B, h, w), between cells too: (B, 2) cells (x, y) from the middle, the mean place by
    likelihood within `radius` cells of the highest; and its logit (B,).
    """
    batch, height, width = logits.shape
    highest, flat = logits.flatten(1).max(dim=1)
    column, row = flat % width, flat // width
    x = torch.arange(width, device=logits.device) - column[:, None, None]
    y = torch.arange(height, device=logits.device)[:, None] - row[:, None, None]
    near = x.square() + y.square() <= radius**2
    share = torch.softmax(logits.masked_fill(~near, -torch.inf).flatten(1), dim=1).view(batch, height, width)
    shift = torch.stack(((share * x).sum(dim=(1, 2)), (share * y).sum(dim=(1, 2))), dim=1)
    return shift + torch.stack((column - width // 2, row - height // 2), dim=1), highest
