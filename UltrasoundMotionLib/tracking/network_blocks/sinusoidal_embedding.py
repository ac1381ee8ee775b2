"""Numbers as sines and cosines of several wavelengths."""

from __future__ import annotations

import torch
from torch import Tensor


def embed_vectors(vectors: Tensor, channel_count: int, *, temperature: float = 10000.0) -> Tensor:
    """Returns the sines and cosines of both components of vectors (..., 2) at geometrically growing wavelengths, then
    the components themselves.

    Args:
        vectors: (..., 2), (x, y).
        channel_count: number E of sines and cosines, a multiple of 4, at least 8.
        temperature: the longest wavelength over the shortest one.

    Returns:
        (..., E + 2): sines of x, cosines of x, sines of y, cosines of y, x, y.
    """
    steps = torch.arange(channel_count // 4, device=vectors.device, dtype=vectors.dtype)
    frequencies = temperature ** -(steps / (channel_count // 4 - 1))
    phase_x, phase_y = vectors[..., :1] * frequencies, vectors[..., 1:] * frequencies
    return torch.cat([phase_x.sin(), phase_x.cos(), phase_y.sin(), phase_y.cos(), vectors], dim=-1)
