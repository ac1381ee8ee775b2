"""Peaks of response maps, between cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class MapPeaks:
    """Peaks of N maps: places (N, 2), x and y in cells of the map, between them too; cells (N,) number of the highest
    cell, row by row.
    """

    places: Tensor
    cells: Tensor


def upsampled(maps: Tensor, factor: int) -> Tensor:
    """Upsamples maps (N, h, w) to (N, factor (h - 1) + 1, factor (w - 1) + 1), bicubic; every `factor`-th value is an
    old one (Bertinetto et al. 2016, Sec. 4.1).
    """
    if factor == 1:
        return maps
    down, across = (_bicubic(length, factor, maps) for length in maps.shape[1:])
    return down @ maps @ across.T


def _bicubic(length: int, factor: int, like: Tensor) -> Tensor:
    """Returns the matrix (factor (length - 1) + 1, length) of bicubic upsampling along one axis; two products with it
    are quicker than `F.interpolate` along both.
    """
    unit = torch.eye(length, device=like.device, dtype=like.dtype)[None, None]
    return F.interpolate(unit, size=(factor * (length - 1) + 1, length), mode="bicubic", align_corners=True)[0, 0]


def windowed_peaks(maps: Tensor, window: Tensor, influence: float) -> MapPeaks:
    """Finds the peaks of maps (N, h, w) above their least values mixed with a window (h, w), each of sum 1, by the
    window's share `influence`.

    As the code of SiamFC's authors has it.
    """
    ranks = maps - maps.amin(dim=(1, 2), keepdim=True)
    ranks = ranks / ranks.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    return map_peaks((1 - influence) * ranks + influence * (window / window.sum()))


def map_peaks(maps: Tensor) -> MapPeaks:
    """Finds the highest cells of maps (N, h, w), and a parabola through their neighbours along each axis; on the map's
    border the cell itself.
    """
    count, height, width = maps.shape
    cells = maps.reshape(count, -1).argmax(dim=1)
    rows, columns = cells // width, cells % width
    index = torch.arange(count, device=maps.device)
    middle = maps[index, rows, columns]

    def vertex(before: Tensor, after: Tensor, inside: Tensor) -> Tensor:
        curvature = (2 * middle - before - after).clamp(min=1e-12)
        return torch.where(inside, 0.5 * (after - before) / curvature, 0.0).clamp(-0.5, 0.5)

    left, right = maps[index, rows, (columns - 1).clamp(min=0)], maps[index, rows, (columns + 1).clamp(max=width - 1)]
    above, below = maps[index, (rows - 1).clamp(min=0), columns], maps[index, (rows + 1).clamp(max=height - 1), columns]
    x = columns + vertex(left, right, (columns > 0) & (columns < width - 1))
    y = rows + vertex(above, below, (rows > 0) & (rows < height - 1))
    return MapPeaks(torch.stack((x, y), dim=1), cells)
