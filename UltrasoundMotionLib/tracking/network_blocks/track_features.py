"""Features of points on their query frames, and correlation along tracks, a few frames at a time.

Points are (x, y) in pixels of the network's images, the origin at the centre of the first pixel; maps are at a stride.
"""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import bytes_at_once
from UltrasoundMotionLib.tracking.network_blocks.feature_sampling import correlate_patches, sample_features


def map_coordinates(points: Tensor, stride: int) -> Tensor:
    """Converts points to pixels of maps, whose outer edges are those of the images."""
    return (points + 0.5) / stride - 0.5


def sample_query_features(maps: Tensor, points: Tensor, query_frames: Tensor, stride: int, radius: int = 0) -> Tensor:
    """Interpolates the features of points, each on its own frame.

    Args:
        maps: (T, C, h, w) of all frames.
        points: (N, 2).
        query_frames: (N,) numbers of frames.
        radius: of a square of whole-pixel offsets in the maps around each point, row by row.

    Returns:
        (N, (2 * radius + 1)**2, C); the border's beyond it.
    """
    axis = torch.arange(-radius, radius + 1, dtype=points.dtype, device=points.device)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    around = map_coordinates(points, stride)[:, None] + torch.stack((columns, rows), dim=-1).reshape(1, -1, 2)
    found = maps.new_empty((*around.shape[:2], maps.shape[1]))
    for frame in query_frames.unique().tolist():
        here = query_frames == frame
        samples = sample_features(maps[frame : frame + 1], around[here].reshape(1, -1, 2))
        found[here] = samples.reshape(-1, *found.shape[1:])
    return found


def correlate_along_tracks(maps: Tensor, tracks: Tensor, templates: Tensor, stride: int, radius: int) -> Tensor:
    """Computes the scalar products of templates with the maps around a track's points.

    Args:
        maps: (T, C, h, w), channels last in memory is fastest.
        tracks: (N, T, 2).
        templates: (N, T, K, C), or (N, 1, K, C) where they are the same on all frames.
        radius: of the square of whole pixels of the maps, whose side is P = 2 * radius + 1.

    Returns:
        (N, T, P, P, K), the third axis along y and the fourth along x; last in memory is K.
    """
    count, frame_count = tracks.shape[:2]
    side, kept = 2 * radius + 1, templates.shape[2]
    found = maps.new_empty((count, frame_count, side, side, kept))
    points = map_coordinates(tracks, stride).transpose(0, 1)
    given = templates.expand(-1, frame_count, -1, -1).transpose(0, 1)
    bytes_each = count * max((side + 1) ** 2, kept) * maps.shape[1] * maps.element_size()
    at_once = max(1, bytes_at_once(maps.device) // bytes_each)
    for first in range(0, frame_count, at_once):
        part = slice(first, first + at_once)
        products = correlate_patches(maps[part], points[part], given[part], radius)  # (frames, N, K, P, P)
        found[:, part] = products.permute(1, 0, 3, 4, 2)
    return found
