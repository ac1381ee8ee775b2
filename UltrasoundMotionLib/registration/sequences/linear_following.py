"""Rigid or affine motion of whole frames: each is aligned to the reference, starting from the frame before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.fields.linear_maps import matrix_of
from UltrasoundMotionLib.images.sitk_reasons import last_line

if TYPE_CHECKING:
    import SimpleITK as sitk

RIGID, AFFINE = "rigid", "affine"

_SCALES = (4, 2, 1)
_LEAST_SIZE = 24
_ITERATIONS = 60
_LEAST_STEP_PX = 1e-3
_MOST_SAMPLES = 60_000
_SEED = 20


class LinearFollower:
    """Aligns frames to a reference by the correlation of their grey levels, at several scales.

    Args:
        reference: (H, W) or (D, H, W).
        mask: the same shape, True where the reference counts.
        grid: of the frames in space; that of a clip has one slice.
        kind: `RIGID` or `AFFINE`.

    Attributes:
        matrix: (4, 4) LPS mm, from points of the reference to points of the last frame.
    """

    def __init__(self, reference: np.ndarray, mask: np.ndarray, grid: ImageGrid, kind: str) -> None:
        self._grid, self._dimension = grid, reference.ndim
        self._fixed = self._image(reference.astype(np.float32))
        self._mask = self._image(mask.astype(np.uint8))
        self._samples = min(1.0, _MOST_SAMPLES / max(1, int(mask.sum())))
        self._kind = kind
        self._transform = self._start()
        self.matrix = np.eye(4)

    def update(self, frame: np.ndarray, number: int, *, threads: int | None = None) -> np.ndarray:
        """Aligns the next frame, and returns the matrix.

        Args:
            number: of the frame, for messages.

        Raises:
            InputError: a constant frame, or one that SimpleITK cannot align.
        """
        import SimpleITK as sitk

        if frame.min() == frame.max():
            raise InputError(f"frame {number} is {frame.flat[0]:g} everywhere, so that its motion is not known")

        method = sitk.ImageRegistrationMethod()
        if threads is not None:
            method.SetNumberOfThreads(threads)
        method.SetMetricAsCorrelation()
        method.SetMetricFixedMask(self._mask)
        if self._samples < 1:
            method.SetMetricSamplingStrategy(method.REGULAR)
            method.SetMetricSamplingPercentage(self._samples, _SEED)
        method.SetInterpolator(sitk.sitkLinear)
        spacing = min(self._fixed.GetSpacing())
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=spacing,
            minStep=_LEAST_STEP_PX * spacing,
            numberOfIterations=_ITERATIONS,
            relaxationFactor=0.5,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        scales = [scale for scale in _SCALES if scale == 1 or min(self._fixed.GetSize()) >= _LEAST_SIZE * scale // 2]
        method.SetShrinkFactorsPerLevel(scales)
        method.SetSmoothingSigmasPerLevel([scale / 2 if scale > 1 else 0.5 for scale in scales])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
        method.SetInitialTransform(self._transform, inPlace=True)
        try:
            method.Execute(self._fixed, self._image(frame.astype(np.float32)))
        except RuntimeError as error:
            raise InputError(f"frame {number} cannot be aligned ({self._kind}): {last_line(error)}") from error
        self.matrix = self._in_space()
        return self.matrix

    def _image(self, array: np.ndarray) -> sitk.Image:
        """Returns an image in the frames' own axes, in mm from the first voxel."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self._grid.spacing_mm[: self._dimension])
        return image

    def _start(self) -> Any:
        import SimpleITK as sitk

        centre = [
            (size - 1) / 2 * step for size, step in zip(self._fixed.GetSize(), self._fixed.GetSpacing(), strict=True)
        ]
        if self._kind == AFFINE:
            transform: Any = sitk.AffineTransform(self._dimension)
        else:
            transform = sitk.Euler3DTransform() if self._dimension == 3 else sitk.Euler2DTransform()
        transform.SetCenter(centre)
        return transform

    def _in_space(self) -> np.ndarray:
        """Returns the transform of the frames' own axes as a matrix in LPS mm."""
        found = matrix_of(self._transform)
        assert found is not None
        own, n = np.eye(4), self._dimension
        own[:n, :n], own[:n, 3] = found[:n, :n], found[:n, n]
        to_space = np.eye(4)
        to_space[:3, :3], to_space[:3, 3] = self._grid.direction, self._grid.origin_mm
        return to_space @ own @ np.linalg.inv(to_space)
