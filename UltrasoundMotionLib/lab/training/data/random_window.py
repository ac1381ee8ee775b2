"""The random part of the images that a training step sees, where whole images would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

import torch


def random_window(
    window: Sequence[int | None], spatial: Sequence[int], generator: torch.Generator
) -> tuple[EllipsisType | slice, ...]:
    """Draws the index of a part of tensors (..., *spatial).

    Args:
        window: its size along each spatial axis; None along an axis: all of it.
        spatial: size of the images.
    """
    corner = [
        0 if size is None else int(torch.randint(full - size + 1, (1,), generator=generator))
        for size, full in zip(window, spatial, strict=True)
    ]
    parts = [
        slice(None) if size is None else slice(start, start + size) for start, size in zip(corner, window, strict=True)
    ]
    return (..., *parts)
