"""The region of a pair that holds the anatomy; only there the field is optimised."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.registration.changing_region import faded
from UltrasoundMotionLib.registration.working_grid import cut_grid
from UltrasoundMotionLib.registration.working_pair import WorkingPair

_PROBABLE = 0.5
WORTHWHILE = 0.7
"""Share of the voxels below which cutting pays."""


@dataclass(frozen=True, eq=False)
class AnatomyRegion:
    """A box of a pair's grid.

    Attributes:
        box: slices in array order.
        shape: of the whole grid.
    """

    box: tuple[slice, ...]
    shape: tuple[int, ...]

    def cut(self, pair: WorkingPair) -> WorkingPair:
        """Returns the part of a pair in the box."""
        names = ("fixed", "moving", "fixed_mask", "moving_mask", "fixed_maps", "moving_maps")
        parts = {
            name: value[:, :, *self.box].contiguous() for name in names if (value := getattr(pair, name)) is not None
        }
        return replace(pair, grid=cut_grid(pair.grid, self.box), **parts)

    def inside(self, displacement: Tensor) -> Tensor:
        """Returns the part of a displacement (1, n, *shape) in the box."""
        return displacement[:, :, *self.box].contiguous()

    def whole(self, displacement: Tensor) -> Tensor:
        """Extends a displacement (1, n, *box) to the whole grid; it falls to 0 towards the sides that are cut."""
        values = np.moveaxis(displacement[0].detach().cpu().numpy(), 0, -1)
        spread = np.moveaxis(faded(values, self.box, self.shape), -1, 0)
        return torch.from_numpy(np.ascontiguousarray(spread))[None].to(displacement)


def anatomy_region(pair: WorkingPair, margin_mm: float) -> AnatomyRegion | None:
    """Finds the box around the classes that are probable in either image, with a margin.

    It is cut in the plane of thick slices only. None without probable classes, or where it holds 70 % of the voxels or
    more.

    Args:
        pair: with class maps.
        margin_mm: on every side.
    """
    shape = tuple(pair.fixed.shape[2:])
    if pair.fixed_maps is None or pair.moving_maps is None:
        return None
    likely = ((pair.fixed_maps.sum(1) > _PROBABLE) | (pair.moving_maps.sum(1) > _PROBABLE))[0].float()
    if not bool(likely.any()):
        return None
    box = []
    for axis, size in enumerate(shape):
        step = pair.grid.spacing_mm[::-1][axis]
        if step == max(pair.grid.spacing_mm) and max(pair.spacing) > 1:
            box.append(slice(0, size))
            continue
        other = tuple(one for one in range(len(shape)) if one != axis)
        found = torch.nonzero(likely.amax(dim=other)).flatten()
        margin = round(margin_mm / step)
        box.append(slice(max(0, int(found[0]) - margin), min(size, int(found[-1]) + margin + 1)))
    kept = np.prod([one.stop - one.start for one in box]) / np.prod(shape)
    return AnatomyRegion(tuple(box), shape) if kept < WORTHWHILE else None
