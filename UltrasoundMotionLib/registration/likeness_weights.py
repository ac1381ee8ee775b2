"""Weights of the terms of likeness that a field is optimised for."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError

THICK_SLICES = 2.5
"""An axis with this many times the finest spacing holds slices: windows and patches stay within each."""


@dataclass(frozen=True)
class LikenessWeights:
    """Weights of the terms of likeness; the loss is their sum.

    Attributes:
        lncc: of 1 - local cross-correlation (squared form), averaged over the windows.
        windows: edge lengths of its windows in voxels in 3D.
        plane_windows: the same in 2D, and within thick slices; wider, since a square holds fewer voxels than a cube.
        mse: of the mean squared difference of intensities, each image in [0, 1].
        mind: of the mean squared difference of MIND-SSC features, for other modalities.
        maps: of the difference of class maps, where the pair has them: 1 - Dice of hard maps, averaged over the
            classes.
    """

    lncc: float = 1.0
    windows: tuple[int, ...] = (5,)
    plane_windows: tuple[int, ...] = (9,)
    mse: float = 0.0
    mind: float = 0.0
    maps: float = 0.0

    def __post_init__(self) -> None:
        terms = {name: getattr(self, name) for name in ("lncc", "mse", "mind", "maps")}
        if min(terms.values()) < 0 or max(terms.values()) == 0:
            given = ", ".join(f"{name} {value}" for name, value in terms.items())
            raise InputError(f"likeness: weights must be 0 or more and one above 0, got {given}")
        for windows in (self.windows, self.plane_windows):
            if self.lncc and (not windows or min(windows) < 2):
                raise InputError(f"likeness: windows must be 2 voxels or more, got {windows}")
