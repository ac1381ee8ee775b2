"""Position of the peak of a heat map: a soft argmax within a radius of the highest cell."""

from __future__ import annotations

import torch
from torch import Tensor


def heatmap_peak(logits: Tensor, radius: float) -> Tensor:
    """Computes the mean position (..., 2), (x, y) in cells, of the softmax of maps (..., h, w) near their highest cell.

    The origin is the centre of the first cell. Cells count that are less than `radius` away from the highest one.
    """
    height, width = logits.shape[-2:]
    flat = logits.flatten(-2)
    best = flat.argmax(dim=-1, keepdim=True)
    reach = int(radius)
    axis = torch.arange(-reach, reach + 1, device=logits.device)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    near = rows.square() + columns.square() < radius**2
    rows, columns = best // width + rows[near], best % width + columns[near]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    values = flat.gather(-1, torch.where(inside, rows * width + columns, best))
    weights = values.masked_fill(~inside, float("-inf")).softmax(dim=-1)
    return torch.stack(((weights * columns).sum(-1), (weights * rows).sum(-1)), dim=-1)
