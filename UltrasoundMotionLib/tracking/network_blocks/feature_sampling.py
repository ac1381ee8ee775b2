"""Feature maps at points between pixels, and patches around them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import bytes_at_once


def sample_features(features: Tensor, points: Tensor, *, outside: str = "border") -> Tensor:
    """Interpolates feature maps bilinearly at points.

    Args:
        features: (B, C, H, W).
        points: (B, N, 2), (x, y) in pixels of the maps, the origin at the centre of the first pixel.
        outside: "border" repeats the outermost pixels, "zeros" continues with zeros.

    Returns:
        (B, N, C).
    """
    height, width = features.shape[-2:]
    last = points.new_tensor([max(width - 1, 1), max(height - 1, 1)])
    grid = (2 * points / last - 1)[:, :, None]
    found = F.grid_sample(features, grid, mode="bilinear", padding_mode=outside, align_corners=True)
    return found[..., 0].transpose(1, 2)


def sample_patches(features: Tensor, points: Tensor, radius: int, *, outside: str = "zeros") -> Tensor:
    """Interpolates feature maps bilinearly on a square of whole-pixel offsets around each point.

    All samples of a patch lie at the same fraction of a pixel, so that one patch of whole pixels gives them.

    Args:
        features: (B, C, H, W); channels last in memory is fastest.
        points: (B, N, 2), (x, y) in pixels of the maps.
        radius: of the square, whose side has P = 2 * radius + 1 samples.
        outside: "zeros" continues the maps with zeros, "border" repeats the outermost pixels.

    Returns:
        (B, N, P, P, C), the third axis along y and the fourth along x.
    """
    batch, count = points.shape[:2]
    pixels, within, fraction = _gather_whole_pixels(features, points, radius)
    side = 2 * radius + 2
    pixels = pixels * within if outside == "zeros" else pixels
    return _interpolate(pixels.reshape(batch, count, side, side, -1), fraction)


def correlate_patches(features: Tensor, points: Tensor, templates: Tensor, radius: int) -> Tensor:
    """Computes the scalar products of templates with a map around points: `sample_patches` times each template.

    The products are taken at whole pixels and then interpolated, which is the same, since both are linear.

    Args:
        features: (B, C, H, W); channels last in memory is fastest.
        points: (B, N, 2), (x, y) in pixels of the maps.
        templates: (B, N, K, C), K for each point.
        radius: of the square, whose side has P = 2 * radius + 1 samples.

    Returns:
        (B, N, K, P, P), the fourth axis along y and the last along x.
    """
    batch, count, templates_each, channels = templates.shape
    pixels, within, fraction = _gather_whole_pixels(features, points, radius)
    products = torch.bmm(pixels, templates.reshape(batch * count, templates_each, channels).transpose(1, 2)) * within
    side = 2 * radius + 2
    return _interpolate(products.reshape(batch, count, side, side, templates_each), fraction).movedim(-1, 2)


def correlate_tracks(features: Tensor, tracks: Tensor, templates: Tensor, radius: int) -> Tensor:
    """Computes the scalar products of each track's templates, the same on all frames, with the maps around its points.

    As `correlate_patches`, with one matrix product for many frames of a track; outside the maps the outermost pixels
    are repeated.

    Args:
        features: (T, C, H, W); channels last in memory is fastest.
        tracks: (N, T, 2), (x, y) in pixels of the maps.
        templates: (N, K, C), K for each track.
        radius: of the square, whose side has P = 2 * radius + 1 samples.

    Returns:
        (N, T, P, P, K), the third axis along y and the fourth along x.
    """
    count, frame_count = tracks.shape[:2]
    kept, channels = templates.shape[1:]
    side = 2 * radius + 2
    found = features.new_empty(count, frame_count, side - 1, side - 1, kept)
    patches_at_once = max(1, bytes_at_once(features.device) // (side**2 * channels * features.element_size()))
    frames_at_once = min(frame_count, patches_at_once)
    tracks_at_once = max(1, patches_at_once // frames_at_once)
    for first in range(0, frame_count, frames_at_once):
        frames = slice(first, first + frames_at_once)
        maps = features[frames]
        for start in range(0, count, tracks_at_once):
            part = slice(start, start + tracks_at_once)
            pixels, _, fraction = _gather_whole_pixels(maps, tracks[part, frames].transpose(0, 1), radius)
            fraction = fraction.transpose(0, 1)  # (tracks, frames, 2)
            pixels = pixels.reshape(len(maps), -1, side**2, channels).transpose(0, 1).flatten(1, 2)
            products = pixels @ templates[part].transpose(1, 2)
            found[part, frames] = _interpolate(products.reshape(*fraction.shape[:2], side, side, kept), fraction)
    return found


def _gather_whole_pixels(features: Tensor, points: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the pixels (B * N, S * S, C) around points, row by row, S = 2 * radius + 2; which of them lie within the
    map, (B * N, S * S, 1), of the pixels' type; and the fractions (B, N, 2) by which the points lie beyond the pixel in
    the middle.
    """
    batch, channels, height, width = features.shape
    limits = points.new_tensor([width + radius + 1, height + radius + 1])
    inside = torch.minimum(points.clamp(min=-radius - 2), limits)  # all samples of a point further out are zero
    base = inside.floor()
    offsets = torch.arange(-radius, radius + 2, device=points.device)
    first = base.long()
    columns = first[..., 0, None] + offsets
    rows = first[..., 1, None] + offsets
    within = ((rows >= 0) & (rows < height))[..., :, None] & ((columns >= 0) & (columns < width))[..., None, :]
    index = rows.clamp(0, height - 1)[..., :, None] * width + columns.clamp(0, width - 1)[..., None, :]
    index = index + (torch.arange(batch, device=points.device) * (height * width))[:, None, None, None]
    pixels = features.permute(0, 2, 3, 1).reshape(batch * height * width, channels)
    count = points.shape[1]
    found = pixels.index_select(0, index.reshape(-1)).reshape(batch * count, -1, channels)
    return found, within.reshape(batch * count, -1, 1).to(found.dtype), inside - base


def _interpolate(values: Tensor, fraction: Tensor) -> Tensor:
    """Interpolates (B, N, S, S, ...) to (B, N, S - 1, S - 1, ...) at fractions (B, N, 2), (x, y), of a pixel."""
    shape = (*fraction.shape[:2], *(1 for _ in values.shape[2:]))
    right, below = fraction[..., 0].reshape(shape), fraction[..., 1].reshape(shape)
    rows = torch.lerp(values[:, :, :-1], values[:, :, 1:], below)
    return torch.lerp(rows[:, :, :, :-1], rows[:, :, :, 1:], right)
