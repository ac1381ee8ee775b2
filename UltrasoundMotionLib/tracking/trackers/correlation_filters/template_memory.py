"""Memory of each landmark's appearance, and the search of a whole image for it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.tracking.windows.windows import crop_windows


class TemplateMemory:
    """Windows of each landmark on the query frame and the last few trusted frames; nearest neighbours by normalised
    correlation.
    """

    @classmethod
    def around(cls, image: Tensor, points: Tensor, target: float, *, size: int = 13, capacity: int) -> TemplateMemory:
        """Remembers windows of `size` samples a side that are as wide as a target of so many working pixels."""
        return cls(
            image, points, torch.full((len(points),), target / size, device=image.device), size=size, capacity=capacity
        )

    def __init__(self, image: Tensor, points: Tensor, steps: Tensor, *, size: int, capacity: int) -> None:
        self._size, self._steps = size, steps
        first = self._cut(image, points)
        self._templates = first[:, None].expand(-1, capacity, -1, -1).clone()
        self._added = torch.zeros(len(points), dtype=torch.long, device=image.device)

    def _cut(self, image: Tensor, points: Tensor, steps: Tensor | None = None) -> Tensor:
        """Cuts windows (N, size, size) of zero mean and unit norm."""
        windows = crop_windows(image, points, self._steps if steps is None else steps, self._size)
        centred = windows - windows.mean(dim=(1, 2), keepdim=True)
        return centred / (centred.square().sum(dim=(1, 2), keepdim=True).sqrt() + 1.0)

    def likeness(self, image: Tensor, points: Tensor, landmark: int | None = None) -> Tensor:
        """Returns the normalised correlation (N,) of the surroundings of each landmark's point with the most similar of
        its remembered windows, or (K,) around K points of one landmark.
        """
        if landmark is None:
            return (self._templates * self._cut(image, points)[:, None]).sum(dim=(2, 3)).amax(dim=1)
        windows = self._cut(image, points, self._steps[landmark].expand(len(points)))
        return (self._templates[landmark] * windows[:, None]).sum(dim=(2, 3)).amax(dim=1)

    def add(self, image: Tensor, points: Tensor, which: Tensor) -> None:
        """Stores landmarks `which` (N,) bool at `points` (N, 2) in place of their oldest windows; the query frame's
        stay.
        """
        rows = torch.nonzero(which)[:, 0]
        if len(rows) == 0 or self._templates.shape[1] < 2:
            return
        place = 1 + self._added[rows] % (self._templates.shape[1] - 1)
        self._templates[rows, place] = self._cut(image, points)[rows]
        self._added[rows] += 1

    def search(self, image: Tensor, landmark: int, centre: Tensor, reach: float, candidates: int) -> Tensor:
        """Finds the most similar places (K, 2) for one landmark within `reach` pixels of `centre` (2,) in x and y; half
        a window apart from each other.
        """
        step = float(self._steps[landmark])
        corner = (centre - reach - step * self._size / 2).floor().long().clamp(min=0)
        end = (centre + reach + step * self._size / 2).ceil().long() + 1
        part = image[corner[1] : end[1], corner[0] : end[0]]
        height, width = (round(length / step) for length in part.shape)
        if min(height, width) < self._size:
            return centre.new_zeros((0, 2))
        small = F.interpolate(
            part[None, None], size=(height, width), mode="bilinear", antialias=True, align_corners=False
        )
        small = small - small.mean()
        templates = torch.unique(self._templates[landmark], dim=0)[:, None]
        ones = torch.ones_like(templates[:1]) / self._size**2
        mean, power = F.conv2d(small, ones), F.conv2d(small.square(), ones)
        deviation = ((power - mean.square()).clamp(min=0) * self._size**2).sqrt() + 1.0
        likeness = (F.conv2d(small, templates) / deviation).amax(dim=1, keepdim=True)
        highest = F.max_pool2d(likeness, self._size // 2 * 2 + 1, stride=1, padding=self._size // 2)
        peaks = torch.where(likeness == highest, likeness, torch.full_like(likeness, -1.0)).flatten()
        flat = peaks.topk(min(candidates, len(peaks))).indices
        columns, rows = flat % likeness.shape[3] + self._size // 2, flat // likeness.shape[3] + self._size // 2
        scale = torch.tensor([part.shape[1] / width, part.shape[0] / height], device=image.device)
        return (torch.stack((columns, rows), dim=1) + 0.5) * scale - 0.5 + corner
