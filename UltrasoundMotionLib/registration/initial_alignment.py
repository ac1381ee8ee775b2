"""A rigid or affine initial transform for images whose headers do not align them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.fields.linear_maps import affine_transform
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.coarse_images import CoarseImage, content_mask
from UltrasoundMotionLib.registration.pair_likeness import likeness_of
from UltrasoundMotionLib.registration.request import ALIGNMENTS, matrix_of
from UltrasoundMotionLib.registration.working_pair import scale_intensities

if TYPE_CHECKING:
    import SimpleITK as sitk

POOR_OVERLAP = 0.5
_PROBES_PER_AXIS = 16
SEED = 20
_SAMPLED_SHARE = 0.2
_LEAST_SAMPLES = 20000
_COARSE_BINS = 20


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
    euler = _euler(fixed.array.ndim)
    try:
        moments = sitk.CenteredTransformInitializerFilter.MOMENTS
        transform = euler(sitk.CenteredTransformInitializer(fixed_image, moving_image, euler(), moments))
        _optimise(fixed_image, moving_image, transform)
        if kind == "affine":
            return _affine(fixed_image, moving_image, transform)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"{moving.name} and {fixed.name}: no {kind} start could be found ({reason}); give an initial transform"
        ) from error
    return transform


def refine_rigid(fixed: Volume, moving: Volume, start: sitk.Transform, *, affine: bool = False) -> sitk.Transform:
    """Refines a rigid start by mutual information of what is no padding, and to an affine one where asked.

    Where SimpleITK finds nothing better to do than to leave the images, the start itself is returned.
    """
    transform = _rigid_of(matrix_of(start), ImageGrid.of(fixed).middle_mm)
    images = _scaled(fixed), _scaled(moving)
    masks = tuple(_mask(content_mask(one.array), image) for one, image in zip((fixed, moving), images, strict=True))
    try:
        _optimise(*images, transform, masks=masks)
        return _affine(*images, transform, masks=masks) if affine else transform
    except RuntimeError:
        return start


def refine_rigid_coarsely(fixed: CoarseImage, moving: CoarseImage, matrix: np.ndarray) -> sitk.Transform:
    """Refines a rigid start (n+1, n+1) on coarse images: by correlation, or by mutual information where the intensities
    do not map monotonely.
    """
    start = affine_transform(matrix)
    likeness = likeness_of(fixed, moving.seen_from(fixed.grid, start))
    transform = _rigid_of(matrix, fixed.grid.middle_mm)
    first, second = (one.grid.copy_geometry_to(_image_from(one.values)) for one in (fixed, moving))
    masks = (_mask(fixed.known, first), _mask(moving.known, second))
    try:
        _optimise(first, second, transform, masks=masks, coarse=True, mutual=likeness.different_modality)
    except RuntimeError:
        return start
    return transform


def _euler(dimension: int) -> Any:
    import SimpleITK as sitk

    return sitk.Euler3DTransform if dimension == 3 else sitk.Euler2DTransform


def _rigid_of(matrix: np.ndarray, centre_mm: np.ndarray) -> sitk.Euler2DTransform | sitk.Euler3DTransform:
    """Returns a homogeneous matrix as a rigid transform about a centre; of another matrix, its nearest rotation."""
    left, _, right = np.linalg.svd(matrix[:-1, :-1])
    turn = left @ np.diag([*[1.0] * (len(left) - 1), np.linalg.det(left @ right)]) @ right
    transform = _euler(len(turn))()
    transform.SetCenter(centre_mm.tolist())
    transform.SetMatrix(turn.ravel().tolist(), 1e-6)
    there = matrix[:-1, :-1] @ centre_mm + matrix[:-1, -1]
    transform.SetTranslation((there - centre_mm).tolist())
    return transform


def _affine(
    fixed: sitk.Image,
    moving: sitk.Image,
    rigid: sitk.Euler2DTransform | sitk.Euler3DTransform,
    masks: tuple[sitk.Image, ...] = (),
) -> sitk.Transform:
    import SimpleITK as sitk

    affine = sitk.AffineTransform(fixed.GetDimension())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    affine.SetCenter(rigid.GetCenter())
    _optimise(fixed, moving, affine, masks=masks)
    return affine


def _image_from(array: np.ndarray) -> sitk.Image:
    import SimpleITK as sitk

    return sitk.GetImageFromArray(np.asarray(array, dtype=np.float32))


def _mask(known: np.ndarray, image: sitk.Image) -> sitk.Image:
    import SimpleITK as sitk

    mask = sitk.GetImageFromArray(known.astype(np.uint8))
    mask.CopyInformation(image)
    return mask


def _scaled(volume: Volume) -> sitk.Image:
    return Volume(scale_intensities(volume.array), volume.spacing_mm, volume.origin_mm, volume.direction).to_sitk()


def _optimise(
    fixed: sitk.Image,
    moving: sitk.Image,
    transform: sitk.Transform,
    *,
    masks: tuple[sitk.Image, ...] = (),
    coarse: bool = False,
    mutual: bool = True,
) -> None:
    """Optimises the transform in place by mutual information, or by correlation.

    Args:
        masks: of fixed and moving image; what is outside does not count.
        coarse: the images are coarse already: one scale, every voxel.
    """
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    if mutual:
        method.SetMetricAsMattesMutualInformation(_COARSE_BINS if coarse else 32)
    else:
        method.SetMetricAsCorrelation()
    if masks and not all(bool(sitk.GetArrayViewFromImage(one).all()) for one in masks):
        method.SetMetricFixedMask(masks[0])
        method.SetMetricMovingMask(masks[1])
    if not coarse:
        method.SetMetricSamplingStrategy(method.RANDOM)
        share = min(1.0, max(_SAMPLED_SHARE, _LEAST_SAMPLES / fixed.GetNumberOfPixels()))
        method.SetMetricSamplingPercentage(share, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=0.5 * min(fixed.GetSpacing()) if coarse else 1.0,
        minStep=1e-2 * min(fixed.GetSpacing()) if coarse else 1e-3,
        numberOfIterations=100,
        relaxationFactor=0.6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    shrunk = [1] if coarse else [4, 2, 1] if min(fixed.GetSize()) >= 32 else [2, 1]
    method.SetShrinkFactorsPerLevel(shrunk)
    method.SetSmoothingSigmasPerLevel([one // 2 for one in shrunk])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
