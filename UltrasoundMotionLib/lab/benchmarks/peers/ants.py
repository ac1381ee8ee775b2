"""ANTs (Avants et al.) through `antspyx`."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.lab.benchmarks.peers.isotropic_copies import on_isotropic_copies

SEED = 1
PUBLISHED_STEP, PUBLISHED_MESH, PUBLISHED_ITERATIONS = 0.25, 5, 200
"""Zhu et al., III-B: step size, mesh of the update field, iterations at each of three scales."""


@peer(
    "ants",
    "ANTs SyN, antspyx's default (affine, then mutual information)",
    kind="registration",
    settings={"transform": "SyN"},
)
@peer(
    "ants-cc",
    "ANTs SyN with local cross-correlation, antspyx's SyNCC (rigid, affine, then SyN)",
    kind="registration",
    settings={"transform": "SyNCC"},
)
@peer(
    "ants-bspline",
    "ANTs B-spline SyN, the settings of antsRegistrationSyN.sh b (rigid, affine, then B-splines every 26 mm)",
    kind="registration",
    settings={"transform": "antsRegistrationSyN[b]"},
)
@on_isotropic_copies
def syn(fixed: Volume, moving: Volume, transform: str = "SyN") -> DisplacementField:
    """Registers by ANTs; affine and deformation composed to one displacement.

    Raises:
        MissingPackageError: `antspyx` is not installed.
    """
    ants = import_package("ants", "antspyx")
    import SimpleITK as sitk

    first, second = _image(fixed), _image(moving)
    with tempfile.TemporaryDirectory() as folder:
        found = ants.registration(
            first, second, type_of_transform=transform, random_seed=SEED, outprefix=f"{folder}/found_"
        )
        composed = ants.apply_transforms(first, second, found["fwdtransforms"], compose=f"{folder}/whole_")
        field = sitk.ReadImage(composed, sitk.sitkVectorFloat64)
    return DisplacementField(sitk.GetArrayFromImage(field), ImageGrid.of(fixed))


def bspline_syn(fixed: Volume, moving: Volume, fixed_mask: Volume | None = None) -> DisplacementField:
    """Registers by ANTs' B-spline SyN with the settings of Zhu et al., III-B: three scales with 200 iterations each,
    step size 0.25, update field mesh size five; no affine transform before, since their images are roughly aligned.

    Cross-correlation with ANTs' usual radius of four, as the paper names no metric; its reference for the settings
    (VoxelMorph) has cross-correlation. ANTs takes a single number for a distance between knots, so the mesh size is
    given for each axis.

    Args:
        fixed, moving: both 2D or both 3D.
        fixed_mask: on the fixed grid; voxels above 0 count.

    Raises:
        MissingPackageError: `antspyx` is not installed.
    """
    import_package("ants", "antspyx")
    import SimpleITK as sitk
    from ants.internal import get_lib_fn, get_pointer_string, process_arguments

    images = [_image(fixed), _image(moving)] + ([] if fixed_mask is None else [_image(fixed_mask)])
    first, second, *masks = (get_pointer_string(one) for one in images)
    dimension = fixed.array.ndim
    mesh = "x".join([str(PUBLISHED_MESH)] * dimension)
    iterations = "x".join([str(PUBLISHED_ITERATIONS)] * 3)
    with tempfile.TemporaryDirectory() as folder:
        options = ["--dimensionality", str(dimension), "--output", f"{folder}/found_", "--random-seed", str(SEED)]
        options += ["--transform", f"BSplineSyN[{PUBLISHED_STEP},{mesh}]", "--metric", f"CC[{first},{second},1,4]"]
        options += ["--convergence", f"[{iterations},1e-6,10]", "--shrink-factors", "4x2x1"]
        options += ["--smoothing-sigmas", "2x1x0vox", "--float", "1"]
        options += ["-x", f"[{masks[0]},NA]"] if masks else []
        if get_lib_fn("antsRegistration")(process_arguments(options)):
            raise InputError(f"ANTs could not register {moving.name} to {fixed.name}")
        return DisplacementField.from_sitk(sitk.ReadImage(f"{folder}/found_0Warp.nii.gz", sitk.sitkVectorFloat64))


peer(
    "ants-bspline-published",
    "ANTs B-spline SyN, the settings of Zhu et al. (200 iterations at 1/4, 1/2 and 1, no affine)",
    kind="registration",
    takes_part=lambda: False,
)(on_isotropic_copies(bspline_syn))


def _image(volume: Volume) -> Any:
    import ants

    array = np.ascontiguousarray(volume.array.T, dtype=np.float32)
    return ants.from_numpy(array, list(volume.origin_mm), list(volume.spacing_mm), np.array(volume.direction))
