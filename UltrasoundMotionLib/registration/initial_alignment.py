"""A rigid or affine start for images whose headers do not bring them together."""

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
PROBES_PER_AXIS = 16
SEED = 20
SAMPLED_SHARE = 0.2
LEAST_SAMPLES = 20000


def overlap(fixed: ImageGrid, moving: ImageGrid, start: sitk.Transform | None = None) -> float:
    """The share of the smaller image that the other one covers, 0 to 1, probed at 16 positions an axis."""
    covered = _share_inside(fixed, moving, start)
    volumes = [abs(np.linalg.det(grid.index_to_lps_mm)) * np.prod(grid.shape) for grid in (fixed, moving)]
    return float(min(1.0, covered * volumes[0] / min(volumes)))


def _share_inside(fixed: ImageGrid, moving: ImageGrid, start: sitk.Transform | None) -> float:
    lines = [(np.arange(PROBES_PER_AXIS) + 0.5) * size / PROBES_PER_AXIS - 0.5 for size in fixed.shape[::-1]]
    index = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, fixed.dimension)
    points = index @ fixed.index_to_lps_mm[:-1, :-1].T + fixed.index_to_lps_mm[:-1, -1]
    if start is not None:
        points = np.array([start.TransformPoint(point) for point in points.tolist()])
    found = moving.to_index(points)
    return float(((found >= -0.5) & (found <= np.array(moving.shape[::-1]) - 0.5)).all(axis=1).mean())


def align(fixed: Volume, moving: Volume, kind: str) -> sitk.Transform:
    """A transform from fixed to moving points: centres of mass brought together, then mutual information at three
    scales.

    Args:
        kind: "rigid" or "affine" (rigid first).

    Raises:
        InputError: an unknown kind, or images that SimpleITK cannot bring together.
    """
    import SimpleITK as sitk

    if kind not in ALIGNMENTS:
        raise InputError(f"initial_transform: expected one of {', '.join(ALIGNMENTS)}, got {kind!r}")
    images = [_scaled(volume) for volume in (fixed, moving)]
    euler = sitk.Euler3DTransform if fixed.array.ndim == 3 else sitk.Euler2DTransform
    try:
        moments = sitk.CenteredTransformInitializerFilter.MOMENTS
        transform = euler(sitk.CenteredTransformInitializer(*images, euler(), moments))
        _optimise(*images, transform)
        if kind == "affine":
            affine = sitk.AffineTransform(fixed.array.ndim)
            affine.SetMatrix(transform.GetMatrix())
            affine.SetTranslation(transform.GetTranslation())
            affine.SetCenter(transform.GetCenter())
            transform = affine
            _optimise(*images, transform)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"{moving.name} and {fixed.name}: no {kind} start could be found ({reason}); give an initial_transform"
        ) from error
    return transform


def _scaled(volume: Volume) -> sitk.Image:
    return Volume(scale_intensities(volume.array), volume.spacing_mm, volume.origin_mm, volume.direction).to_sitk()


def _optimise(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> None:
    """Changes the transform in place."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = min(1.0, max(SAMPLED_SHARE, LEAST_SAMPLES / fixed.GetNumberOfPixels()))
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
