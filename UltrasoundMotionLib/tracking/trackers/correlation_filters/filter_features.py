"""Features of a window for correlation filters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.errors import InputError

FEATURES = ("grey", "gradients")
GREY_DEVIATION = 0.2
"""Grey levels are brought to this standard deviation, about that of a natural image whose range is 1, for which the
kernel's width is stated.
"""

ORIENTATIONS = 9


@dataclass(frozen=True)
class FeatureConfig:
    """Kind of features that describe a window.

    Attributes:
        features: "grey" or "gradients", see `window_features`.
        cell_px: side of a cell of gradients.

    Raises:
        InputError: an unknown kind of features.
    """

    features: str = "grey"
    cell_px: int = 4

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise InputError(f"features must be one of {', '.join(FEATURES)}, got {self.features}")

    @property
    def sample_px(self) -> int:
        """Pixels for one sample of the features."""
        return 1 if self.features == "grey" else self.cell_px


def window_features(windows: Tensor, kind: str, cell_px: int) -> Tensor:
    """Computes features (N, C, h, w) of windows (N, H, W).

    "grey": the grey levels, without their mean and at one contrast, so that gain and shadow borders pull less; one a
    pixel. "gradients": nine orientations of the gradient, averaged over cells of `cell_px` pixels and normalised over 3
    x 3 cells: a histogram of oriented gradients without the four blocks' separate normalisations (Dalal and Triggs 2005
    has four).
    """
    if kind == "grey":
        centred = windows - windows.mean(dim=(1, 2), keepdim=True)
        contrast = centred.square().mean(dim=(1, 2), keepdim=True).sqrt() + 1.0
        return (GREY_DEVIATION * centred / contrast)[:, None]
    return _gradient_cells(windows, cell_px)


def _gradient_cells(windows: Tensor, cell_px: int) -> Tensor:
    padded = F.pad(windows[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    along_x = 0.5 * (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2])
    along_y = 0.5 * (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1])
    magnitude = torch.hypot(along_x, along_y)
    place = torch.remainder(torch.atan2(along_y, along_x), torch.pi) * (ORIENTATIONS / torch.pi)
    lower = place.floor()
    share = place - lower
    bins = torch.arange(ORIENTATIONS, device=windows.device)[None, :, None, None]
    lower = (lower.long() % ORIENTATIONS)[:, None]
    upper = (lower + 1) % ORIENTATIONS
    votes = (lower == bins) * ((1 - share) * magnitude)[:, None] + (upper == bins) * (share * magnitude)[:, None]
    cells = F.avg_pool2d(votes, cell_px)
    energy = F.avg_pool2d(cells.square().sum(dim=1, keepdim=True), 3, stride=1, padding=1, count_include_pad=False)
    return (cells / (energy.sqrt() + 0.5)).clamp(max=1.0)
