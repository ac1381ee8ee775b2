"""ANTs (Avants et al.) through `antspyx`."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.lab.benchmarks.peers.isotropic_copies import on_isotropic_copies

SEED = 1


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

    def image(volume: Volume) -> Any:
        array = np.ascontiguousarray(volume.array.T, dtype=np.float32)
        return ants.from_numpy(array, list(volume.origin_mm), list(volume.spacing_mm), np.array(volume.direction))

    first, second = image(fixed), image(moving)
    with tempfile.TemporaryDirectory() as folder:
        found = ants.registration(
            first, second, type_of_transform=transform, random_seed=SEED, outprefix=f"{folder}/found_"
        )
        composed = ants.apply_transforms(first, second, found["fwdtransforms"], compose=f"{folder}/whole_")
        field = sitk.ReadImage(composed, sitk.sitkVectorFloat64)
    return DisplacementField(sitk.GetArrayFromImage(field), ImageGrid.of(fixed))
