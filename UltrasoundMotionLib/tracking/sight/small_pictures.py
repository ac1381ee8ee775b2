"""Small pictures of a frame and patches in them, on NumPy alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

FINEST_SIZE = 128
"""Longer side of the finest small picture, give or take a half: sizes are halved, not fitted."""
LEVEL_COUNT = 3
PATCH_SIDE = 9
"""Samples along a side of a patch, one small pixel apart: about 16, 32 and 64 pixels of a frame of 256."""
_RADIUS = PATCH_SIDE // 2


def halve(image: np.ndarray) -> np.ndarray:
    """Returns the means (h, w) of blocks of 2 x 2 pixels of (H, W); an odd last row or column is left out."""
    rows, columns = (size // 2 * 2 for size in image.shape)
    pairs = image[:rows:2] + image[1:rows:2]
    return np.float32(0.25) * (pairs[:, :columns:2] + pairs[:, 1:columns:2])


def halvings_of(shape: tuple[int, ...]) -> int:
    """Returns how often a frame (H, W) is halved to the finest small picture."""
    count, longer = 0, max(shape)
    while longer >= 1.5 * FINEST_SIZE:
        count, longer = count + 1, longer // 2
    return count


class SmallPictures:
    """A frame halved to about 128, 64 and 32 pixels.

    Attributes:
        levels: the pictures (h, w) float32, the finest first; one that cannot be halved again stands for the next too.
        steps: frame pixels for one pixel of each level.
        shape: (H, W) of the frame.
    """

    def __init__(self, frame: np.ndarray) -> None:
        self.shape = frame.shape
        picture = np.asarray(frame, dtype=np.float32)
        halvings = halvings_of(picture.shape)
        for _ in range(halvings):
            picture = halve(picture)
        self.levels, self.steps = [picture], [2**halvings]
        while len(self.levels) < LEVEL_COUNT:
            small = min(self.levels[-1].shape) < 4
            self.levels.append(self.levels[-1] if small else halve(self.levels[-1]))
            self.steps.append(self.steps[-1] * (1 if small else 2))

    def patches(self, points: np.ndarray, radius: int = _RADIUS) -> np.ndarray:
        """Returns patches (L, N, 2 radius + 1, 2 radius + 1) around points (N, 2) in frame pixels on all levels,
        sampled bilinearly; beyond the border the border's own pixels.
        """
        sizes = np.array([picture.shape[::-1] for picture in self.levels])
        starts = np.cumsum([0, *(picture.size for picture in self.levels[:-1])])
        pixels = np.concatenate([picture.ravel() for picture in self.levels])
        places = (points + 0.5) / np.array(self.steps)[:, None, None] - 0.5
        places = np.clip(np.nan_to_num(places), -radius - 1, sizes[:, None] + radius)
        base = np.floor(places)
        part = (places - base).astype(np.float32)[..., None, None]
        around = np.arange(-radius, radius + 2)
        x, y = (
            np.clip(base[..., axis, None].astype(np.intp) + around, 0, sizes[:, None, None, axis] - 1)
            for axis in (0, 1)
        )
        rows = y * sizes[:, None, None, 0] + starts[:, None, None]
        block = pixels.take(rows[..., :, None] + x[..., None, :])
        block = block[..., :-1, :] + part[..., 1, :, :] * np.diff(block, axis=-2)
        return block[..., :-1] + part[..., 0, :, :] * np.diff(block, axis=-1)


@lru_cache(maxsize=1)
def _plane_removal() -> np.ndarray:
    """Returns the matrix (S, S) that takes the best plane out of a flat patch of S samples."""
    axis = np.arange(PATCH_SIDE) - _RADIUS
    y, x = np.meshgrid(axis, axis, indexing="ij")
    plane = np.stack([np.ones(PATCH_SIDE**2), x.ravel(), y.ravel()], axis=1)
    orthogonal, _ = np.linalg.qr(plane)
    return (np.eye(PATCH_SIDE**2) - orthogonal @ orthogonal.T).astype(np.float32)


def detail(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits patches (..., side, side) into unit vectors (..., S) without mean and slope, their contrast (...) and the
    mean grey level (...); a flat patch has the vector 0.
    """
    flat = patches.reshape(*patches.shape[:-2], -1)
    structure = flat @ _plane_removal()
    size = np.sqrt(_products(structure, structure))
    scale = np.where(size > 1e-3, size, np.inf)
    return structure / scale[..., None], size / PATCH_SIDE, flat.mean(axis=-1)


def _products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the scalar products of the last axes."""
    return np.einsum("...s,...s->...", first, second)
