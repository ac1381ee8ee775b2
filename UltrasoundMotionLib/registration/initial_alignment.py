"""A rigid or affine initial transform for images whose headers do not align them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.request import ALIGNMENTS
from UltrasoundMotionLib.registration.working_pair import scale_intensities

if TYPE_CHECKING:
    import SimpleITK as sitk

POOR_OVERLAP = 0.5
_PROBES_PER_AXIS = 16
SEED = 20
_SAMPLED_SHARE = 0.2
_LEAST_SAMPLES = 20000


def overlap(fixed: ImageGrid, moving: ImageGrid, start: sitk.Transform | None = None) -> float:
    """The share of the smaller image that the other one covers, 0 to 1, probed at 16 positions along each axis."""
    covered = _share_inside(fixed, moving, start)
    volumes = [abs(np.linalg.det(grid.index_to_lps_mm)) * np.prod(grid.shape) for grid in (fixed, moving)]
    return float(min(1.0, covered * volumes[0] / min(volumes)))


def _share_inside(fixed: ImageGrid, moving: ImageGrid, start: sitk.Transform | None) -> float:
    lines = [(np.arange(_PROBES_PER_AXIS) + 0.5) * size / _PROBES_PER_AXIS - 0.5 for size in fixed.shape[::-1]]
    index = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, fixed.dimension)
    points = index @ fixed.index_to_lps_mm[:-1, :-1].T + fixed.index_to_lps_mm[:-1, -1]
    if start is not None:
        points = np.array([start.TransformPoint(point) for point in points.tolist()])
    found = moving.to_index(points)
    return float(((found >= -0.5) & (found <= np.array(moving.shape[::-1]) - 0.5)).all(axis=1).mean())


def align(fixed: Volume, moving: Volume, kind: str) -> sitk.Transform:
    """Finds a transform from fixed to moving points: aligns the centres of mass, then maximises mutual information at
    three scales.

    Args:
        kind: "rigid" or "affine" (rigid first).

    Raises:
        InputError: an unknown kind, or images that SimpleITK cannot align.
    """
    import SimpleITK as sitk

    if kind not in ALIGNMENTS:
        raise InputError(f"initial_transform: expected one of {', '.join(ALIGNMENTS)}, got {kind!r}")
    fixed_image, moving_image = _scaled(fixed), _scaled(moving)
    euler = sitk.Euler3DTransform if fixed.array.ndim == 3 else sitk.Euler2DTransform
    try:
        moments = sitk.CenteredTransformInitializerFilter.MOMENTS
        transform = euler(sitk.CenteredTransformInitializer(fixed_image, moving_image, euler(), moments))
        _optimise(fixed_image, moving_image, transform)
        if kind == "affine":
            affine = sitk.AffineTransform(fixed.array.ndim)
            affine.SetMatrix(transform.GetMatrix())
            affine.SetTranslation(transform.GetTranslation())
            affine.SetCenter(transform.GetCenter())
            _optimise(fixed_image, moving_image, affine)
            return affine
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"{moving.name} and {fixed.name}: no {kind} start could be found ({reason}); give an initial transform"
        ) from error
    return transform


def _scaled(volume: Volume) -> sitk.Image:
    return Volume(scale_intensities(volume.array), volume.spacing_mm, volume.origin_mm, volume.direction).to_sitk()


def _optimise(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> None:
    """Optimises the transform in place by mutual information."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = min(1.0, max(_SAMPLED_SHARE, _LEAST_SAMPLES / fixed.GetNumberOfPixels()))
    method.SetMetricSamplingPercentage(share, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-3, numberOfIterations=100, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1] if min(fixed.GetSize()) >= 32 else [2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0] if min(fixed.GetSize()) >= 32 else [1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
